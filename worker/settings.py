"""Settings of every process, read from `RNNRBM_*` once by whoever starts it.

Hyper-parameters are not settings: they come with each job (worker.protocol).
"""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1 << 20


class Settings(BaseSettings):
    """Where things are and how much a stranger may ask for."""

    model_config = SettingsConfigDict(env_prefix="RNNRBM_", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    data: str = Field("./var", description="directory or fsspec URL of the artefact store")
    redis_url: str = Field("", description="empty: `rnnrbm serve` starts an embedded server")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    kernel: Literal["auto", "torch"] = Field(
        "auto", description="torch: PyTorch even where the compiled kernel is there"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    train_workers: int = Field(1, ge=0, le=64)
    generate_workers: int = Field(1, ge=0, le=64)

    max_upload_bytes: int = Field(256 * MEBIBYTE, gt=0, description="whole request body")
    max_unpacked_bytes: int = Field(1024 * MEBIBYTE, gt=0, description="all files of one upload, unzipped")
    max_files: int = Field(20_000, gt=0, description="MIDI files in one upload")
    max_length: int = Field(20_000, gt=0, description="steps of one generated piece")
    max_pieces: int = Field(1_000, gt=0, description="pieces of one POST /generate")
    max_gibbs_steps: int = Field(5_000_000, gt=0, description="Gibbs steps of one job, over all frames")
    max_queued: int = Field(1_000, gt=0, description="jobs waiting in one queue")
    generate_timeout: float = Field(120.0, gt=0, description="seconds POST /generate waits before it answers 202")
