"""The encoder of a mix, loaded as carefully as a tokenizer that a user names."""

from __future__ import annotations

from functools import lru_cache

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.encode import Encoder, EncoderName
from gpts_data.tokenizer.untrusted import check_untrusted


def open_encoder(mix: Mix, choice: EncoderName = "fast") -> Encoder:
    """The encoder of the mix's tokenizer, which is first loaded in a process with limited memory and time.

    Raises `VerificationError` when it exceeds the limits, cannot be loaded or is not the one that the manifest names.
    """
    tokenizer = mix.manifest["tokenizer"]
    expected = tokenizer["digest"], tokenizer["vocab_size"], tokenizer["eos_id"]
    return _open(mix.tokenizer, expected, choice)


@lru_cache(maxsize=2)
def _open(folder: AnyPath, expected: tuple[str, int, int], choice: EncoderName) -> Encoder:
    try:
        artifact = check_untrusted(folder)
        encoder = Encoder(folder, choice)
    except UsageError as error:
        raise VerificationError(f"{error}; or get the mix again, since this is its own tokenizer") from error
    if (artifact.digest, artifact.vocab_size, artifact.eos_id) != expected:
        raise VerificationError(
            f"{folder}: found a tokenizer with {artifact.vocab_size:,} entries and digest {artifact.digest[:16]}, "
            f"expected {expected[1]:,} and {expected[0][:16]}; run gpts-data verify {folder.parent}"
        )
    return encoder
