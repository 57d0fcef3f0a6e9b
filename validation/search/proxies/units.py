"""The kept units that a search begins with, and the tokenizer that they were made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpts_data.mixer.kept_units import copy_tokenizer, is_made_with, kept_tokenizers
from gpts_data.mixer.plan import Plan, make_plan
from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import Artifact, load
from gpts_data.tokenizer.untrusted import check_untrusted
from gpts_data.validation.search.proxies.pool import build_command

TOKENIZER = "tokenizer"
WORK = "work"  # in the folder of the search, for intermediate files of deduplication


@dataclass(frozen=True)
class Units:
    """A folder of kept units, and what to make of it."""

    recipe: Recipe
    recipe_folder: Path
    folder: AnyPath
    out: Path
    """Folder of the search."""
    retry_policy: RetryPolicy = RetryPolicy()

    def tokenizer(self, given: AnyPath | None) -> Artifact:
        """The tokenizer of the units, copied into the folder of the search: the given one, the copy of an earlier call,
        or the one that is kept beside the units.

        Raises `UsageError` when there is none, or more than one that fits.
        """
        copy = self.out / TOKENIZER
        if given is None and (copy / "tokenizer.json").exists():
            return load(copy)
        tokenizer = check_untrusted(given) if given else self._kept()
        if (copy / "tokenizer.json").exists() and load(copy).digest != tokenizer.digest:
            return tokenizer  # of another search: search.json says so
        copy_tokenizer(tokenizer, copy)
        return load(copy)

    def plan(self, tokenizer: Artifact) -> Plan:
        """The plan of a mix whose units are the kept ones. The files of the sources are listed for it."""
        arguments = self.recipe, self.recipe_folder, self.out / WORK, tokenizer, ""  # no file there means "finished"
        return make_plan(*arguments, self.retry_policy, keep_units=self.folder)

    def _kept(self) -> Artifact:
        tokenizers = [check_untrusted(folder) for folder in kept_tokenizers(self.folder)]
        fitting = [tokenizer for tokenizer in tokenizers if is_made_with(self.plan(tokenizer), tokenizer)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting:
            raise UsageError(
                f"{self.folder} holds no units of all sources of this recipe with their tokenizer; make them: "
                f"{build_command(self.recipe, self.folder)}; or name the tokenizer of older units with --tokenizer"
            )
        raise UsageError(
            f"{self.folder} holds units of this recipe with {len(fitting)} tokenizers; choose one: --tokenizer "
            f"{' or '.join(str(tokenizer.folder) for tokenizer in fitting)}"
        )
