"""Commands that change a run."""

from __future__ import annotations

from tests.receiver.cli.terminal import Terminal


def test_tags_are_set_and_removed(terminal: Terminal) -> None:
    run = terminal.type("submit", "--agent", "a", "--prompt", "x", "--tag", "a=1", "--json").object["id"]
    assert terminal.type("tag", run, "b=2", "--remove", "a", "--json").object["tags"] == {"b": "2"}
    assert terminal.type("tag", run, "c=3").out == f"{run} has the tags b=2, c=3.\n"
    assert terminal.type("tag", run, "--remove", "b", "--remove", "c").out == f"{run} has no tags.\n"


def test_a_change_of_tags_that_cannot_be_is_wrong_usage(terminal: Terminal) -> None:
    run = terminal.type("submit", "--agent", "a", "--prompt", "x", "--json").object["id"]
    for words, said in (([], "give KEY=VALUE"), (["a"], "'a' is not of the form"), (["a b=1"], "--tag")):
        screen = terminal.type("tag", run, *words)
        assert (screen.code, said in screen.err) == (2, True)


def test_a_run_again_names_the_first_and_has_what_is_changed(terminal: Terminal) -> None:
    first = terminal.type("submit", "--agent", "a", "--prompt", "x", "--tag", "a=1", "--json").object
    again = terminal.type("again", first["id"], "--prompt", "y", "--json").object
    assert (again["againOf"], again["prompt"], again["tags"]) == (first["id"], "y", {"a": "1"})
    assert terminal.type("again", "run_unknown").err == "runledger: there is no run with that id\n"


def test_nobody_is_notified_of_a_run_that_goes_on(terminal: Terminal) -> None:
    run = terminal.type("submit", "--agent", "a", "--prompt", "x", "--json").object["id"]
    screen = terminal.type("notify", run)
    assert (screen.code, "has not ended" in screen.err) == (1, True)
