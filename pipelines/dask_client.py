"""Connects to a running dask scheduler. What is wrong with an address or with certificates is said in one line.

The first connection is ours and not one of dask's client, for two reasons. Dask waits without a limit for the first
words of a scheduler, so for ever if that is frozen. And a client that fails to start stays half open, until the garbage
collector closes it: if another client starts at that moment, both wait for the same lock for ever.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpts_data.pipelines.errors import SourceUnavailableError, UsageError

CONNECT_SECONDS = 20.0
ENCRYPTED = ("tls://", "wss://")
CERTIFICATE_VARIABLES = {
    "ca_file": "DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
    "cert": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT",
    "key": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY",
}
"""The variables that name the files of a client's certificates, by dask's names for these; dask's YAML may name them
too."""

log = logging.getLogger("gpts_data")


def connect(scheduler: str) -> Any:
    """Return a `distributed.Client` of the scheduler at an address such as "tcp://host:8786".

    Raises `UsageError` for an address or certificates that cannot be used, and `SourceUnavailableError` when no
    scheduler answers within CONNECT_SECONDS.
    """
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # they log a traceback when the scheduler is lost
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _check_address(scheduler)
    arguments = _connection_arguments(scheduler)
    try:
        _greet(scheduler, arguments)
    except RuntimeError:  # no more threads
        raise
    except Exception as error:  # of any kind: what a stranger answers is decoded without checks
        reason = _reason(error)
        advice = "check its certificates and yours" if "[SSL" in reason else "start one with `dask scheduler`"
        raise SourceUnavailableError(f"no dask scheduler answers at {scheduler} ({reason}); {advice}") from error
    return Client(scheduler, timeout=CONNECT_SECONDS)


def log_dashboard(client: Any) -> None:
    """Log the address of the dashboard, if the scheduler has one."""
    if find_spec("bokeh"):  # without it, the dashboard only says that bokeh is missing
        log.info("dask dashboard: %s", client.dashboard_link)


def _check_address(scheduler: str) -> None:
    from distributed.comm import get_address_host_port, parse_address
    from distributed.comm.registry import get_backend

    try:
        get_backend(parse_address(scheduler)[0]).get_connector()  # `TypeError` from a protocol that is not installed
        host, port = get_address_host_port(scheduler)
        if not 0 < port < 1 << 16 or not host or set(host) & set("/ \n"):
            raise ValueError(f"found host {host!r} and port {port}")
    except (ValueError, TypeError) as error:
        raise UsageError(f"--scheduler {scheduler!r}: {error}; expected an address like tcp://host:8786") from error


def _connection_arguments(scheduler: str) -> dict[str, Any]:
    """The arguments of a connection with the certificates that dask is configured with."""
    from distributed.security import Security

    try:
        security = Security()
    except ValueError as error:
        raise UsageError(f"dask's TLS settings cannot be used: {error}") from error
    files = {name: security.get_tls_config_for_role("client")[name] for name in CERTIFICATE_VARIABLES}
    for name, file in files.items():
        if file and "\n" not in file and not Path(file).is_file():  # with line ends it is the certificate itself
            raise UsageError(f"no file {file}, which {CERTIFICATE_VARIABLES[name]} or dask's configuration names")
    try:
        arguments: dict[str, Any] = security.get_connection_args("client")
    except OSError as error:  # `ssl.SSLError` for a file that holds something else
        named = ", ".join(str(file) for file in files.values() if file)
        raise UsageError(
            f"dask's certificates cannot be read from {named}: {error}. Expected certificates in PEM format, and the "
            f"key in {CERTIFICATE_VARIABLES['key']} or in the file of the certificate"
        ) from error
    if scheduler.startswith(ENCRYPTED) and arguments["ssl_context"] is None:
        unset = " and ".join(CERTIFICATE_VARIABLES[name] for name in ("ca_file", "cert") if not files[name])
        raise UsageError(f"--scheduler {scheduler!r} needs certificates: name their files in {unset}")
    return arguments


def _greet(scheduler: str, arguments: dict[str, Any]) -> None:
    """Connect and exchange first words, as dask's client does next."""
    from distributed.comm import connect as open_connection
    from distributed.utils import LoopRunner, sync

    async def greet() -> None:
        (await open_connection(scheduler, timeout=CONNECT_SECONDS, **arguments)).abort()

    runner = LoopRunner()  # in a thread of its own: a notebook has a running loop in this one
    runner.start()
    try:
        sync(runner.loop, greet, callback_timeout=CONNECT_SECONDS + 1)
    finally:
        runner.stop()


def _reason(error: BaseException) -> str:
    if not isinstance(error, OSError):
        return "something else does"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:.0f} seconds"
    reason = str(error.__cause__ or "") or str(error)
    return reason.rpartition(">: ")[2]  # without the connector's place in memory
