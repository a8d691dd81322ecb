"""Try every operation of an OpenAPI description with generated calls, each operation as a subtest.

The calls are generated within the test. Schemathesis' own parametrization generates them during the collection of
tests, in each test process, which takes longer than the collection of all other tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis.core.result import Ok
from schemathesis.pytest import lazy
from schemathesis.schemas import BaseSchema

Case = schemathesis.Case[Any]


def try_all(schema: BaseSchema, attempt: Callable[[Case], None], subtests: pytest.Subtests, examples: int) -> None:
    """Call `attempt` with the boundary values and some random values of each operation."""

    @hypothesis.settings(
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
        deadline=None,
        derandomize=True,
        database=None,
    )
    def generated(case: Case) -> None:
        attempt(case)

    for made in lazy.get_all_tests(schema=schema, test_func=generated, settings=None, given_kwargs=None):
        assert isinstance(made, Ok), made
        operation, test = made.ok()
        with subtests.test(operation.label):
            test()
