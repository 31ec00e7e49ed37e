"""Settings of every process, read from `RNNRBM_*` once by whoever starts it.

Hyper-parameters are not settings: they come with each job (worker.protocol).
"""

import base64
import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1 << 20
SECRET_BYTES = 24
"""Least that Standard Webhooks ask of a secret."""


class Settings(BaseSettings):
    """Where things are and how much a stranger may ask for."""

    model_config = SettingsConfigDict(env_prefix="RNNRBM_", env_ignore_empty=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    data: str = Field("./var", description="directory or fsspec URL of the artefact store")
    redis_url: str = Field("", description="empty: `rnnrbm serve` starts an embedded server")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    kernel: Literal["auto", "torch"] = Field(
        "auto", description="torch: PyTorch even where the compiled kernel is there"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    api_keys: str = Field("", description="SHA-256 of each key in hex, separated by commas; `rnnrbm key` makes one")
    webhook_secret: SecretStr = Field(SecretStr(""), description="whsec_…, signs webhooks; empty: none are sent")
    webhook_private: bool = Field(False, description="webhooks may go to private addresses, and over plain HTTP")

    train_workers: int = Field(1, ge=0, le=64)
    generate_workers: int = Field(2, ge=0, le=64, description="two, so that one samples while the other takes a job")
    evaluate_workers: int = Field(1, ge=0, le=64)
    cpu_workers: bool | None = Field(
        None, description="workers on the CPU beside those on GPUs; by default where the device is `auto`"
    )

    max_upload_bytes: int = Field(256 * MEBIBYTE, gt=0, description="whole request body")
    max_unpacked_bytes: int = Field(1024 * MEBIBYTE, gt=0, description="all files of one upload, unzipped")
    max_files: int = Field(100_000, gt=0, description="MIDI files in one upload")
    max_length: int = Field(20_000, gt=0, description="steps of one generated piece")
    max_pieces: int = Field(1_000, gt=0, description="pieces of one POST /generate")
    max_gibbs_steps: int = Field(5_000_000, gt=0, description="Gibbs steps of one job, over all frames")
    max_queued: int = Field(1_000, gt=0, description="jobs waiting in one queue")
    rate_limit: int | None = Field(
        None,
        ge=0,
        description="requests a minute of one key or address; 0: any; default: 1200, loopback without keys any",
    )
    generate_timeout: float = Field(120.0, gt=0, description="seconds POST /generate waits before it answers 202")

    @property
    def key_hashes(self) -> tuple[str, ...]:
        """The hashes of the API keys."""
        return tuple(self.api_keys.split(",")) if self.api_keys else ()

    @field_validator("api_keys")
    @classmethod
    def _hashes(cls, text: str) -> str:
        hashes = [part.strip().lower() for part in text.split(",") if part.strip()]
        if not all(re.fullmatch(r"[0-9a-f]{64}", part) for part in hashes):
            raise ValueError("each key's SHA-256 in hex, separated by commas; `rnnrbm key` makes a key and prints it")
        return ",".join(hashes)

    @field_validator("webhook_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value()
        if text and len(base64.b64decode(text.removeprefix("whsec_") + "==")) < SECRET_BYTES:
            raise ValueError(f"whsec_ and at least {SECRET_BYTES} bytes in base64")
        return secret
