"""Run transformers' own tests of causal language models on the exported GPT-S.

    python benchmarks/transformers_tests.py CHECKOUT [MODEL] [PYTEST OPTIONS]

CHECKOUT is a clone of github.com/huggingface/transformers at the tag of the installed version, whose folder tests/ the
wheel lacks. MODEL is a folder that `gpts-data export-model` wrote; by default the modelling code of this package is
tested, which an export copies. It needs `pip install parameterized` besides the extras train and dev. Prints each test
that did not pass with its reason, and the three counts; exits with 1 if a test failed.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

CODE = Path(__file__).parents[1] / "validation" / "model"
FILES = ("configuration_gpts.py", "layers_gpts.py", "modeling_gpts.py")
LEFT_OUT = "not fsdp and not hsdp"  # they shard weights over processes, for which a model of 20 MB has no use

TESTS = """
import sys
import unittest

sys.path[:0] = [{checkout!r}, {parent!r}]
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

from {package}.configuration_gpts import GPTSConfig
from {package}.modeling_gpts import GPTSForCausalLM, GPTSModel
from tests.causal_lm_tester import CausalLMModelTest, CausalLMModelTester

AutoConfig.register("gpts", GPTSConfig)
AutoModel.register(GPTSConfig, GPTSModel)
AutoModelForCausalLM.register(GPTSConfig, GPTSForCausalLM)
MODEL_MAPPING_NAMES["gpts"] = "GPTSModel"  # the tests look here for models that compute a loss
MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["gpts"] = "GPTSForCausalLM"


class Tester(CausalLMModelTester):
    config_class = GPTSConfig
    base_model_class = GPTSModel
    causal_lm_class = GPTSForCausalLM

    def __init__(self, parent):
        super().__init__(parent, num_attention_heads=4, num_key_value_heads=2)


class GPTSTest(CausalLMModelTest, unittest.TestCase):
    model_tester_class = Tester
    pipeline_model_mapping = {{"feature-extraction": GPTSModel, "text-generation": GPTSForCausalLM}}

    def is_pipeline_test_to_skip(self, *args, **kwargs):
        return True  # they load a tokenizer from the hub
"""


class Outcomes:
    """A pytest plugin that notes how each test ended, and why."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.passed and (report.when != "call" or hasattr(report, "context")):  # a part of a test has a context
            return
        self.count[report.outcome] += 1
        if not report.passed:
            reason = report.longrepr[2] if report.skipped else report.longrepr.reprcrash.message
            print(f"\n{report.outcome}  {report.nodeid.rsplit('::', 1)[-1]}: {reason.splitlines()[0]}")


def main(checkout: Path, model: Path, options: list[str]) -> int:
    """Write a test module beside a copy of the model's code and run it."""
    with TemporaryDirectory() as scratch:
        package = Path(scratch) / "gpts_export"
        package.mkdir()
        (package / "__init__.py").touch()
        for name in FILES:
            shutil.copy(model / name, package)
        tests = Path(scratch) / "test_gpts.py"
        tests.write_text(
            TESTS.format(checkout=str(checkout.resolve()), parent=scratch, package=package.name), encoding="utf-8"
        )
        outcomes = Outcomes()
        arguments = ["-q", "--no-header", "--tb=no", "--disable-warnings", "-p", "no:cacheprovider", "-k", LEFT_OUT]
        pytest.main([*arguments, f"--rootdir={scratch}", *options, str(tests)], [outcomes])
    print(", ".join(f"{outcomes.count[kind]} {kind}" for kind in ("passed", "failed", "skipped")))
    return int(outcomes.count["failed"] > 0 or not outcomes.count["passed"])


if __name__ == "__main__":
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 and not sys.argv[2].startswith("-") else CODE
    sys.exit(main(Path(sys.argv[1]), folder, sys.argv[2 if folder is CODE else 3 :]))
