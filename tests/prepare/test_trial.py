"""A trial of the pipeline fails as the job itself would."""

from __future__ import annotations

from typing import Any

import pytest

from dsets import prepare
from dsets.errors import DsetsError, PipelineError
from dsets.prepare import trial


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise SystemExit(0)", "make() failed: SystemExit: 0"),
        ("1 / 0", "make() failed: ZeroDivisionError: division by zero"),
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
