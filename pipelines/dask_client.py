"""Connects to a running dask scheduler. What is wrong with an address or with certificates is said in one line."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, UsageError

CONNECT_TIMEOUT = "20s"
ENCRYPTED = ("tls://", "wss://")
CERTIFICATES = (
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
)
"""Where dask looks for the names of the files."""

log = logging.getLogger("gpts_data")


def connect(scheduler: str) -> Any:
    """Return a `distributed.Client` of the scheduler at an address such as "tcp://host:8786".

    Raises `UsageError` for an address or certificates that cannot be used, and `SourceUnavailableError` when no
    scheduler answers.
    """
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # they log a traceback when the scheduler is lost
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _check_certificates(scheduler)
    client = Client.__new__(Client)
    try:
        Client.__init__(client, scheduler, timeout=CONNECT_TIMEOUT)
    except Exception as error:
        # Else the garbage collector closes it. If it does so while another client starts, both wait for ever: to start
        # and to close take the same lock.
        client.close()
        raise _explained(scheduler, error) from error
    return client


def log_dashboard(client: Any) -> None:
    """Log the address of the dashboard, if the scheduler has one."""
    if find_spec("bokeh"):  # without it, the dashboard only says that bokeh is missing
        log.info("dask dashboard: %s", client.dashboard_link)


def _check_certificates(scheduler: str) -> None:
    from distributed.security import Security

    try:
        context = Security().get_connection_args("client").get("ssl_context")
    except OSError as error:  # also `ssl.SSLError`, for a file that holds something else
        raise UsageError(f"dask's certificates cannot be read: {error}; see {CERTIFICATES}") from error
    if scheduler.startswith(ENCRYPTED) and context is None:
        raise UsageError(f"--scheduler {scheduler!r}: dask has no certificates; name their files in {CERTIFICATES}")


def _explained(scheduler: str, error: Exception) -> GptsDataError:
    if not isinstance(error, OSError):  # such as `ValueError` for an address, `TypeError` for a protocol of a plugin
        return UsageError(f"--scheduler {scheduler!r}: {error}; expected an address like tcp://host:8786")
    reason = str(error.__cause__ or error).rpartition(">: ")[2]  # without the connector's address in memory
    return SourceUnavailableError(
        f"no dask scheduler answers at {scheduler} ({reason}); start one with `dask scheduler`"
    )
