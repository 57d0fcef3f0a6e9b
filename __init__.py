"""Build pretraining data for small language models: the Python API.

    from gpts_data import build_mix, open_mix, plan, verify

    plan("sample", tokens="1M").sources["fineweb-edu"].available_tokens
    build_mix("sample", "mix", tokens="1M", workers=2)
    mix = open_mix("mix")
    mix.shard(0)[0]                     # 512 ids, uint16
    verify("mix")                       # [] when every byte is as it was written

`help(gpts_data.build_mix)` tells the arguments of a function. Nothing is loaded before a name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpts_data.validation.api import (
        Built,
        DocumentLocation,
        DocumentOutcome,
        Estimate,
        Exported,
        Mix,
        MixSummary,
        Origin,
        Problem,
        Recipe,
        SourceEstimate,
        SourceSummary,
        build_mix,
        explain_document,
        export,
        inspect,
        load_recipe,
        locate_document,
        open_mix,
        plan,
        trace,
        verify,
    )

    __version__: str

__all__ = [
    "Built",
    "DocumentLocation",
    "DocumentOutcome",
    "Estimate",
    "Exported",
    "Mix",
    "MixSummary",
    "Origin",
    "Problem",
    "Recipe",
    "SourceEstimate",
    "SourceSummary",
    "__version__",
    "build_mix",
    "explain_document",
    "export",
    "inspect",
    "load_recipe",
    "locate_document",
    "open_mix",
    "plan",
    "trace",
    "verify",
]


def __getattr__(name: str) -> Any:
    """The attribute `name`, loaded on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("gpts-data")
    else:
        from gpts_data.validation import api

        value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
