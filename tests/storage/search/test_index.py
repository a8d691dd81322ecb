"""Full text: what is stored is found by its words once it is indexed, and never after it is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from storage import errors, states
from storage.engine.database import Database
from storage.query import grammar, run_pages
from storage.repositories import runs
from storage.retention import erasing
from storage.search import fulltext, index, lookups, snippets, tokenizer
from storage.search.tokenizer import Phrase
from storage.tables.runs import RUNS
from storage.tables.search import PASSAGES
from tests import life

pytestmark = pytest.mark.anyio


async def saying(database: Database, question: str, **query: Any) -> list[str]:
    """The ids of the runs that a question finds, in order."""
    asked = run_pages.Query(grammar.parse(question, life.NOW), **query)
    found, _ = await database.timed_read(run_pages.page, asked)
    return [run.id for run in found]


async def settled(database: Database, steps: Any = (), prompt: str = "Review it.", **measures: Any) -> runs.Run:
    measured = life.measures(**{"output": None, "summary": None, **measures})
    result = replace(life.result(measures=measured), steps=steps)
    return await life.settled_run(database, result=result, prompt=prompt)


def step(position: int = 0, **changes: Any) -> Any:
    plain = {"content": None, "tool_input": None, "tool_output": None}
    return replace(life.steps(1)[0], position=position, **{**plain, **changes})


async def test_every_text_of_a_run_is_searched(database: Database) -> None:
    steps = [
        step(0, content="The STEPS were thorough."),
        step(1, tool_input={"query": ["inputs", 42]}),
        step(2, tool_output={"a": {"b": "outputs"}, "ratio": 0.5}),
    ]
    run = await settled(
        database, steps, "Prompted.", output="Result: void.", summary="Brief.", failure_reason="None known."
    )
    await life.indexed(database)
    for word in ("prompted", "void", "brief", "known", "steps", "inputs", "42", "query", "outputs", "ratio"):
        assert await saying(database, word) == [run.id], word
    assert await saying(database, "absent") == []


async def test_words_phrases_and_beginnings_are_found(database: Database, subtests: pytest.Subtests) -> None:
    run = await settled(database, output="No Force Majeure applies.")
    await life.indexed(database)
    for question, is_found in [
        ('"force majeure"', True),
        ("majeure force", True),
        ('"majeure force"', False),
        ('"force of majeure"', False),
        ("FORCE-MAJEURE", True),
        ("maj*", True),
        ('"force maj"*', True),
        ("maj", False),
        ("force -majeure", False),
        ("-absent", True),
        ("(absent OR majeure) status:completed", True),
        ("force status:failed", False),
    ]:
        with subtests.test(f"{question!r:.60}"):
            assert await saying(database, question) == [run.id] * is_found


async def test_words_that_are_in_different_texts_of_a_run_are_found_together(database: Database) -> None:
    run = await settled(database, [step(tool_output="rent")], "lease")
    await life.indexed(database)
    assert await saying(database, "lease rent") == [run.id]
    assert await saying(database, '"lease rent"') == []


async def test_a_phrase_is_found_anywhere_in_a_long_text(database: Database) -> None:
    words = [f"w{number}" for number in range(1000)]
    run = await settled(database, output=" ".join(words))
    await life.indexed(database)
    for begin in range(0, 984, 7):
        phrase = " ".join(words[begin : begin + tokenizer.PHRASE])
        assert await saying(database, f'"{phrase}"') == [run.id]


async def test_a_phrase_of_words_that_stand_hundreds_of_times_is_found(database: Database) -> None:
    run = await settled(database, output="the " * 3000 + "the end of the matter")
    await life.indexed(database)
    assert await saying(database, '"the end of the matter"') == [run.id]


async def test_a_run_is_found_while_it_lives_and_by_its_end(database: Database) -> None:
    run = await life.running(database, prompt="Review the tenancy.")
    await life.indexed(database)
    assert await saying(database, "tenancy") == [run.id]
    await life.settle(database, run, life.result())
    assert await saying(database, "tenancy") == [run.id]  # only its result waits
    await life.indexed(database)
    assert await saying(database, "tenancy void") == [run.id]


async def test_the_end_of_a_run_keeps_the_indexed_passages_of_its_prompt(database: Database) -> None:
    run = await life.running(database, prompt="word " * 400, guidance="Be brief.")
    await life.indexed(database)
    await life.settle(database, run, life.result())
    (waiting,) = await database.read(index.queued, 10)
    assert (
        waiting.first,
        {each.part for each in waiting.passages} & {states.Part.PROMPT, states.Part.GUIDANCE},
    ) == (3, set())


async def test_a_later_document_is_what_is_found(database: Database) -> None:
    run = await settled(database, [step(content="former")], output="early")
    await life.indexed(database)
    later = life.result(measures=life.measures(output="late", summary=None), body=b'{"status":"completed","v":2}')
    await life.settle(database, run, replace(later, steps=[step(content="latter")]), life.at(100))
    await life.indexed(database)
    assert await saying(database, "late latter") == [run.id]
    assert await saying(database, "early OR former") == []


async def test_a_pruned_run_is_not_found_any_more(database: Database) -> None:
    await settled(database, [step(content="secret")], output="void")
    await settled(database, output="void")
    await life.indexed(database)
    waiting = await settled(database, output="void")
    await database.write(erasing.erase, grammar.EVERYTHING, life.OLD, life.at(1000))
    await life.indexed(database)
    assert await saying(database, "secret OR void OR review") == []
    assert await database.read(_passages) == 0
    assert (await life.get_run(database, waiting.id)).pruned_at is not None


def _passages(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(PASSAGES)).scalar_one()


async def test_a_run_that_changed_while_it_was_read_is_indexed_as_it_is_now(database: Database) -> None:
    run = await life.running(database, prompt="Review the tenancy.")
    (read,) = await database.read(index.queued, 50)
    await life.settle(database, run, life.result())
    assert await database.write(index.add, [read]) == 0
    await life.indexed(database)
    assert await saying(database, "tenancy void") == [run.id]


async def parts(database: Database, part: int) -> int:
    """Indexes everything, of each run a part at a time; how many parts that were."""
    done = 0
    while batch := await database.read(index.queued, 1, part):
        done += await database.write(index.add, batch)
    return done


async def test_a_very_long_text_is_indexed_in_parts_and_waits_until_the_last(database: Database) -> None:
    words = [f"w{number}" for number in range(2000)]
    run = await settled(database, output=" ".join(words))
    (first,) = await database.read(index.queued, 1, 2)
    assert await database.write(index.add, [first]) == 1
    assert await database.write(index.add, [first]) == 0  # as a second server would that has read the same
    assert (await saying(database, "w7"), await saying(database, "w1999")) == ([run.id], [])
    assert (await database.read(index.lag)).runs == 1
    assert await parts(database, 2) == 4
    assert await saying(database, '"w1998 w1999"') == [run.id]
    assert await database.read(_passages) == 10  # with the one of the prompt


async def test_a_change_while_a_run_is_indexed_in_parts_removes_its_old_words(database: Database) -> None:
    old = " ".join(f"old{number}" for number in range(2000))
    run = await settled(database, output=old)
    (stale,) = await database.read(index.queued, 1, 2)
    await database.write(index.add, [stale])
    (stale,) = await database.read(index.queued, 1, 2)
    later = life.result(measures=life.measures(output="late", summary=None), body=b'{"status":"completed","v":2}')
    await life.settle(database, run, later, life.at(100))
    assert await database.write(index.add, [stale]) == 0
    await life.indexed(database)
    assert await saying(database, "old* OR old7") == []
    assert await saying(database, "late") == [run.id]


async def test_a_hit_of_any_length_is_shown_in_a_snippet_of_a_bounded_one(database: Database) -> None:
    run = await settled(database, output=f"It is {'long' * 50_000} and force{' ' * 50_000}majeure.")
    await life.indexed(database)
    asked = [Phrase(("force", "majeure")), Phrase(("long" * 16,))]
    found = (await database.timed_read(snippets.of_runs, [run.seq], asked))[run.seq]
    assert len(found) == 2
    assert max(len(each.text) for each in found) <= snippets.SHOWN + 2 * snippets.AROUND + 2
    assert [each.marks[0][1] - each.marks[0][0] for each in found] == [snippets.SHOWN] * 2


@pytest.mark.parametrize(
    ("said", "asked", "marked"),
    [
        ("Das Gesamt\u00adkonzept ist", "Gesamtkonzept", "Gesamt\u00adkonzept"),
        ("今天重跑gen-itgc后再说", "itgc", "itgc"),
        ("租賃契約書を確認", "契約書", "契約書"),
        ("हिन्दी अनुबंध", "हिन्दी", "हिन्दी"),
        ("A\u0308\u0323rger!", "arger", "A\u0308\u0323rger"),
    ],
)
async def test_a_snippet_marks_a_hit_with_all_that_belongs_to_it(
    said: str, asked: str, marked: str, database: Database
) -> None:
    run = await settled(database, output=said)
    await life.indexed(database)
    found = await database.timed_read(run_pages.find, run_pages.Query(grammar.parse(asked, life.NOW)))
    (snippet,) = found.snippets[run.seq]
    assert [snippet.text[low:high] for low, high in snippet.marks] == [marked]


async def test_of_two_indexers_of_the_same_run_one_stores_it(database: Database) -> None:
    await settled(database)
    batch = await database.read(index.queued, 50)
    assert [await database.write(index.add, batch) for _ in range(2)] == [1, 0]


async def test_a_rebuilt_index_finds_the_same(database: Database) -> None:
    made = [await settled(database, output=f"void {number}") for number in range(3)]
    await life.indexed(database)
    await life.running(database)
    assert await database.write(index.rebuild, life.at(100)) == 4
    assert await saying(database, "void") == []
    await life.indexed(database)
    assert await saying(database, "void") == [run.id for run in reversed(made)]


async def test_the_lag_is_reported_with_the_results(database: Database) -> None:
    await settled(database)
    assert await database.read(index.lag) == index.Lag(1, life.NOW)
    question = run_pages.Query(grammar.parse("void", life.NOW))
    assert (await database.timed_read(run_pages.find, question)).unindexed == 1
    await life.indexed(database)
    assert (await database.timed_read(run_pages.find, question)).unindexed == 0
    assert await database.read(index.lag) == index.Lag(0, None)


async def test_a_snippet_names_the_step_and_marks_the_hits(database: Database) -> None:
    around = "word " * 40
    steps = [step(4, tool_output={"text": f"{around}no <Force>\nmajeure here{around}"})]
    run = await settled(database, steps)
    await life.indexed(database)
    asked = [Phrase(("force", "majeure")), Phrase(("absent",))]
    (snippet,) = (await database.timed_read(snippets.of_runs, [run.seq], asked))[run.seq]
    assert (snippet.part, snippet.step) == (states.Part.TOOL_OUTPUT, 4)
    assert [snippet.text[low:high] for low, high in snippet.marks] == ["Force> majeure"]
    assert snippet.text.startswith("…")
    assert "no &lt;<mark>Force&gt; majeure</mark> here" in snippet.html


async def test_a_text_that_was_changed_from_outside_is_shown_without_a_snippet(database: Database) -> None:
    run = await settled(database, output="The lease is void.")
    await life.indexed(database)
    changed = update(RUNS).where(RUNS.c.seq == run.seq).values(output=None)
    await database.write(lambda connection: connection.execute(changed).close())
    found = await database.timed_read(run_pages.find, run_pages.Query(grammar.parse("void", life.NOW)))
    assert ([each.id for each in found.runs], found.snippets) == ([run.id], {})


async def test_a_snippet_from_far_within_a_long_text_is_cut_out_of_it(database: Database) -> None:
    long = "é rent " * 400 + "the lease is void " + "and so on " * 400
    run = await settled(database, output=long)
    await life.indexed(database)
    (snippet,) = (await database.timed_read(snippets.of_runs, [run.seq], [Phrase(("is", "void"))]))[run.seq]
    at = long.index("is void")
    assert snippet.text == f"…{long[at - snippets.AROUND : at + len('is void') + snippets.AROUND]}…"
    assert [snippet.text[low:high] for low, high in snippet.marks] == ["is void"]


async def test_the_most_relevant_come_first_and_page_by_page(database: Database) -> None:
    made = []
    for count in (1, 3, 2, 3):
        steps = [step(place, content="rent") for place in range(count)]
        made.append((count, (await settled(database, steps)).id))
    await life.indexed(database)
    wanted, found, cursor = grammar.parse("rent", life.NOW), list[str](), None
    while not found or cursor:
        page, cursor = await database.timed_read(run_pages.page, run_pages.Query(wanted, "-relevance", 1, cursor))
        found += [run.id for run in page]
    assert found == [made[3][1], made[1][1], made[2][1], made[0][1]]


async def test_a_batch_that_was_read_before_its_row_left_the_queue_is_not_indexed(database: Database) -> None:
    run = await life.running(database, prompt="Review the tenancy.")
    stale = await database.read(index.queued, 50)
    await life.indexed(database)
    await life.settle(database, run, life.result())  # waits anew, with the same version
    assert await database.write(index.add, stale) == 0
    await life.indexed(database)
    assert await saying(database, "void") == [run.id]


async def test_a_prefix_of_many_pages_of_words_is_refused_at_once(embedded: Database) -> None:
    await embedded.write(fulltext.add_words, [(number, [f"b{number}", f"cc{number}"]) for number in range(9000)])
    assert (
        (await embedded.read(fulltext.prefix_pages, "b"))
        > 10
        > (await embedded.read(fulltext.prefix_pages, "b77"))
    )
    for phrase in (Phrase(("b",)), Phrase(("b", "c777"), open_ended=True)):
        await embedded.read(lookups.require_selective, [phrase], 10)
    with pytest.raises(errors.BadFilter, match=r"q: b\* stands for too many words here: write more letters"):
        await embedded.read(lookups.require_selective, [Phrase(("x", "b"), open_ended=True)], 10)


async def test_a_server_answers_any_prefix(served: Database) -> None:
    await served.read(lookups.require_selective, [Phrase(("b",), open_ended=True)], -1)


@pytest.mark.parametrize("count", [5, lookups.MANY_PASSAGES + 5])
async def test_runs_that_say_a_word_often_are_found_once_in_either_order(count: int, database: Database) -> None:
    said = [step(position, content="venue") for position in range(count)]
    for _ in range(3):
        await settled(database, said, prompt="Venue.")
    await life.indexed(database)
    for sort, keys in (("accepted", [1, 2, 3]), ("-accepted", [3, 2, 1])):
        found, cursor = [], None
        for _ in range(3):
            query = run_pages.Query(grammar.parse("venue", life.NOW), sort, 1, cursor)
            page = await database.timed_read(run_pages.find, query)
            cursor = page.cursor
            found += [(run.seq, *page.snippets[run.seq]) for run in page.runs]
        assert [seq for seq, _ in found] == keys
        assert ({snippet.part for _, snippet in found}, cursor) == ({states.Part.PROMPT}, None)
