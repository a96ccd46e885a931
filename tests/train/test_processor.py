"""What is recorded of a processor: enough to tell two of them apart."""

from __future__ import annotations

import pytest
import torch

from dsets.train import determinism, processor
from dsets.train.numerics import Numerics


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {"model name": "AMD EPYC", "cpu family": "25", "model": "1", "stepping": "1"},
            "AMD EPYC; cpu family 25, model 1, stepping 1",
        ),
        (
            {"CPU implementer": "0x41", "CPU part": "0xd0c", "BogoMIPS": "243.75"},
            "CPU implementer 0x41, CPU part 0xd0c",
        ),
        ({}, ""),
    ],
)
def test_a_virtual_machines_processors_of_one_name_differ_by_their_numbers(
    facts: dict[str, str], expected: str
) -> None:
    assert processor.described(facts) == expected


def test_instructions_are_torchs_level_and_what_its_libraries_choose_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = "fpu avx2 amx_bf16 avx512_vnni avx512f"
    monkeypatch.setattr(processor, "_facts", lambda: {"flags": flags})
    monkeypatch.delenv("MKL_CBWR", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    level = torch.backends.cpu.get_cpu_capability()
    assert processor.instructions() == f"{level} amx_bf16 avx512_vnni ONEDNN_MAX_CPU_ISA=AVX2"


def test_the_environment_names_this_processor() -> None:
    told = determinism.environment(1, "cpu", 1, Numerics())
    assert told["processor"] == processor.name() != ""
    assert str(told["instructions"]).startswith(torch.backends.cpu.get_cpu_capability())
