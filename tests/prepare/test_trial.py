"""A trial of the pipeline fails as the job itself would."""

from __future__ import annotations

from typing import Any

import pytest

from dsets import prepare
from dsets.errors import DsetsError, PipelineError
from dsets.prepare import trial
from tests.prepare.conftest import RECIPE

#: Of the body of a recipe, in its file.
LINE = RECIPE[: RECIPE.index("{body}")].count("\n") + 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise SystemExit(0)", f"make() failed in line {LINE}: SystemExit: 0"),
        ("1 / 0", f"make() failed in line {LINE}: ZeroDivisionError: division by zero"),
        (
            "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})",
            f"make() failed in line {LINE}: Mute: its message cannot be had (ZeroDivisionError)",
        ),
        (
            "raise type('Base', (BaseException,), {})('x' * 9999)",
            f"make() failed in line {LINE}: Base: {'x' * 1000}…",
        ),
        (
            "from dsets.errors import DataError\n"
            "    raise type('Odd', (DataError,), {'__init__': lambda self: None})",
            f"make() failed in line {LINE + 1}: Odd: its message cannot be had (AttributeError)",
        ),
        (
            "return type('Lies', (dict,), {'__getitem__': lambda *_: 1 / 0})(sample.values)",
            f"make() failed in line {LINE}: ZeroDivisionError: division by zero",
        ),
        ("return None", "make() must give a mapping"),
    ],
)
def test_a_pipeline_that_fails_is_told_with_its_sample_as_by_the_job(
    tiny: Any, body: str, said: str
) -> None:
    plan = tiny.plan(pipeline=tiny.recipe(body))
    with pytest.raises(PipelineError) as tried:
        trial.run(plan.packs[0], own=True)
    with pytest.raises(DsetsError) as made:
        prepare.run(plan)
    assert str(tried.value) == str(made.value)
    assert tried.value.what == said and str(tried.value.where).endswith("sample train/00000")


def test_a_workers_error_arrives_though_its_cause_cannot_travel(tiny: Any) -> None:
    recipe = tiny.recipe("raise type('Held', (Exception,), {})(open(__file__))")
    with pytest.raises(
        PipelineError, match=r"sample train/00000: make.. failed in line .*: Held: "
    ):
        prepare.run(tiny.plan(pipeline=recipe), workers=1)


def test_a_long_reason_is_cut_in_the_quarantine(tiny: Any) -> None:
    bad = "if sample.key.endswith('7'): raise DataError('x' * 9999)"
    train, _ = prepare.run(tiny.plan(pipeline=tiny.recipe(bad)))
    assert {one.reason for one in train.quarantine} == {"x" * 1000 + "…"}
