"""What a release may contain."""

import pytest

from tests.deploy.check.tools import Failed
from tests.release import contents


@pytest.mark.parametrize(
    "given",
    [
        {"license": {"id": "MIT"}},
        {"license": {"name": "License :: OSI Approved :: BSD License"}},
        {"expression": "Apache-2.0 OR BSD-2-Clause"},
        {"expression": "(GPL-2.0-only OR MIT) AND PSF-2.0"},
    ],
)
def test_a_permissive_licence_is_recognised_in_each_of_its_forms(given: dict[str, object]) -> None:
    assert contents.licences([{"name": "one", "licenses": [given]}]).startswith("1 permissive")


@pytest.mark.parametrize(
    "given",
    [
        [],
        [{"license": {}}],
        [{"license": {"id": "GPL-3.0-only"}}],
        [{"license": {"id": "MIT"}}, {"license": {"id": "GPL-3.0-only"}}],
        [{"expression": "MIT AND GPL-3.0-only"}],
    ],
)
def test_a_package_without_an_allowed_licence_stops_the_release(given: list[object]) -> None:
    with pytest.raises(Failed, match=r"one: (none|.*GPL-3\.0-only)"):
        contents.licences([{"name": "one", "licenses": given}])


def test_a_vulnerable_dependency_stops_the_release() -> None:
    vulnerable = {"name": "one", "version": "1.0", "vulns": [{"id": "CVE-2026-1"}]}
    with pytest.raises(Failed, match=r"one 1\.0: CVE-2026-1"):
        contents.audited([{"name": "two", "version": "2.0", "vulns": []}, vulnerable])


def test_dependencies_that_the_index_does_not_know_are_counted() -> None:
    known, unknown = {"name": "one", "version": "1.0", "vulns": []}, {"name": "two", "skip_reason": "not found"}
    assert contents.audited([known, unknown]) == "none in 1 dependencies; the index could not say of 1"
