"""What an operator may set, read from the environment: SECATEUR_DATABASE_URL and its siblings."""

import re
import socket
import tempfile
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from store.destinations import Allowed

#: A CPU's cores in so many parts.
CpuDevices = Annotated[str, StringConstraints(pattern=r"^cpu:[1-9]\d?$")]

_SHORTEST_SECRET = 16

_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class Settings(BaseSettings):
    """The settings of every Secateur process; each is an environment variable with the prefix SECATEUR_."""

    model_config = SettingsConfigDict(env_prefix="SECATEUR_", env_parse_none_str="none", extra="ignore")

    database_url: str = Field(
        "sqlite:///secateur.db",
        description="Where everything is kept: sqlite:///path/to/file.db or postgresql://user:password@host/name.",
    )
    broker_url: str = Field(
        "redis://localhost:6379/0",
        description="The Redis or Valkey server whose messages wake workers. Nothing is lost when it is.",
    )
    server_secret: SecretStr | None = Field(
        None,
        description="What the hashes of API keys are keyed with and the signing secrets of webhooks derived from, 16 "
        "characters or more. Both are good only under the secret they were made with.",
    )
    rate_limit: str | None = Field(
        None,
        description="How often each API key may ask: `600/minute`; also per second, hour or day. Unset: no limit.",
    )
    cors_origins: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="Origins whose pages may call the API from browsers, separated by commas. Unset: none.",
    )
    hsts_s: int | None = Field(
        None,
        gt=0,
        description="How long browsers shall use https only, in seconds (Strict-Transport-Security). Set it where the "
        "service is reached by https alone.",
    )
    max_dataset_bytes: int = Field(
        256 * 2**20, gt=0, description="The largest accepted upload of one dataset, all its splits together, in bytes."
    )
    max_model_bytes: int = Field(
        4 * 2**30, gt=0, description="The largest accepted upload of one model, all its files together, in bytes."
    )
    upload_ttl_s: float = Field(
        86_400.0,
        gt=0,
        description="How long an upload in parts is kept when nothing more comes of it, in seconds.",
    )
    team_max_upload_bytes: int = Field(
        16 * 2**30, gt=0, description="What a team's uploads in parts may come to together, in bytes."
    )
    file_roots: str | None = Field(
        None,
        description="Folders below which specs may name file:// paths, separated as in PATH; unset refuses all. Every "
        "team may read what is in them.",
    )
    hub_endpoint: str = Field(
        "https://huggingface.co",
        description="The hub that hf:// names: huggingface.co, a mirror, or another Secateur's /hf.",
    )
    hub_token: SecretStr | None = Field(None, description="The token for it. All teams read with it what it may read.")
    hub_allow: str = Field(
        "*", description="Which of its repositories may be used, as patterns separated by commas; empty refuses all."
    )
    hub_hosts: str = Field(
        "*.huggingface.co,*.hf.co",
        description="Which hosts the hub may lead to for its files, as patterns separated by commas.",
    )
    hub_offline: bool = Field(
        False, description="Call no hub: hf:// names only what is in the cache. HF_HUB_OFFLINE=1 does the same."
    )
    hub_cache_dir: Path | None = Field(
        None, description="Where files from the hub are kept for the next job. Unset: where HF_HOME says."
    )
    fetch_wait_s: float = Field(
        20.0,
        ge=0,
        description="How long a submit waits for hf:// and file:// sources, in seconds, before it answers 503 and the "
        "client asks again.",
    )
    team_max_running: int | None = Field(
        None, ge=0, description="How many jobs of one team may run at once, for teams without a limit of their own."
    )
    team_max_queued: int = Field(
        10_000, ge=0, description="How many jobs of one team may wait, for teams without a limit of their own."
    )
    webhook_allow: str | None = Field(
        None,
        description="What webhooks may call beside the internet, separated by commas: hosts, host:port, addresses, "
        "networks. Every team may send there. Unset: nothing.",
    )
    webhook_timeout_s: float = Field(
        15.0, gt=0, le=60, description="How long a webhook's receiver may take to answer, in seconds."
    )
    webhook_log_ttl_s: float | None = Field(
        30 * 86_400.0,
        ge=0,
        description="How long the log of messages to webhooks is kept after their end, in seconds; `none` is for ever.",
    )
    team_max_webhooks: int = Field(20, ge=0, description="How many webhooks a team may have.")
    lease_s: float = Field(
        60.0,
        gt=0,
        description="How long a worker owns a job without a word, in seconds, before it is given to another.",
    )
    renew_s: float = Field(
        15.0, gt=0, description="How often a worker renews its lease, in seconds. Keep it well below the lease."
    )
    poll_s: float = Field(
        1.0, gt=0, description="How often a worker looks at its trainer and for a cancel request, in seconds."
    )
    reconcile_s: float = Field(
        10.0, gt=0, description="How often the reconciler looks for lapsed leases and rings waiting queues, in seconds."
    )
    stop_grace_s: float = Field(
        60.0,
        ge=0,
        description="How long a trainer may take to save a checkpoint and stop when asked, in seconds, before it is "
        "killed.",
    )
    stalled_s: float = Field(
        1800.0,
        gt=0,
        description="A trainer that gets no further for so long is stalled, in seconds: it is killed, and its job "
        "tried again. A step, a batch that is judged, a matrix that is fitted, or the reading of all rows must fit in.",
    )
    checkpoint_s: float = Field(
        300.0,
        gt=0,
        description="How often a trainer saves what it would need to go on, in seconds; less often where saving would "
        "take more than 0.4 % of the time.",
    )
    checkpoint_steps: int | None = Field(
        None, gt=0, description="Also save after so many optimizer steps. Unset: by time only."
    )
    keep_checkpoints: int = Field(
        2, ge=2, description="How many checkpoints of a running job are kept; the older ones in case the newest is bad."
    )
    checkpoint_ttl_s: float | None = Field(
        7 * 86_400.0,
        ge=0,
        description="How long the checkpoints of a failed job are kept for a retry, in seconds; `none` is for ever.",
    )
    result_ttl_s: float | None = Field(
        None,
        ge=0,
        description="How long the files of a succeeded job are kept, in seconds after its end. Unset: for ever.",
    )
    keep_best: int = Field(
        1, ge=0, description="How many of the best jobs of a team, model, dataset and sparsity keep their files anyway."
    )
    keep_last: int = Field(
        1, ge=0, description="How many of the latest jobs of a team, model, dataset and sparsity keep them anyway."
    )
    scratch_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "secateur",
        description="Where a worker unpacks a job's model and data and writes its output before it is uploaded.",
    )
    worker_name: str = Field(
        default_factory=socket.gethostname,
        description="How this worker signs its attempts. Defaults to the host's name.",
    )

    worker_gpus: Literal["auto"] | Annotated[int, Field(ge=0)] | CpuDevices = Field(
        "auto",
        description="The GPUs that this worker lends to its jobs: `auto` is all it can see, a number so many of them, "
        "and 0 none, so that jobs train on the CPU. `cpu:4` offers the CPU in four parts, as if each were a GPU.",
    )

    @property
    def plain_server_secret(self) -> str:
        """The secret itself; empty where none is set."""
        return self.server_secret.get_secret_value() if self.server_secret else ""

    @field_validator("server_secret")
    @classmethod
    def _secret_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and 0 < len(value) < _SHORTEST_SECRET:
            raise ValueError(
                f"SECATEUR_SERVER_SECRET is shorter than {_SHORTEST_SECRET} characters. Make one: openssl rand -hex 32"
            )
        return value or None  # compose passes what is not set as an empty text

    @field_validator("rate_limit")
    @classmethod
    def _rate_is_a_rate(cls, value: str | None) -> str | None:
        if value and not _RATE.fullmatch(value):
            raise ValueError(
                f"SECATEUR_RATE_LIMIT: {value!r} is no rate. Write it as 600/minute, or per second, hour or day."
            )
        return value or None

    @field_validator("webhook_allow")
    @classmethod
    def _allowed_is_readable(cls, value: str | None) -> str | None:
        Allowed.read(value)
        return value or None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins_are_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = tuple(origin.strip() for origin in value.split(",") if origin.strip())
        if wrong := next((origin for origin in origins if not _ORIGIN.fullmatch(origin)), None):
            raise ValueError(
                f"SECATEUR_CORS_ORIGINS: {wrong!r} is no origin. Name each as scheme://host[:port], without path or *."
            )
        return origins or None

    @model_validator(mode="after")
    def _lease_outlives_a_late_renewal(self) -> Self:
        if self.renew_s > self.lease_s / 2:
            raise ValueError(
                f"SECATEUR_RENEW_S is {self.renew_s:g} and SECATEUR_LEASE_S {self.lease_s:g}: a lease must last at "
                "least twice as long as the time between its renewals."
            )
        return self
