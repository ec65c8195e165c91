"""The worker against each kind of Redis that its URLs can name: TLS, users, sentinels, a cluster, a socket."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import time
from typing import Any, Iterator

import pytest
from support import LIMIT, Server, free_port, until
from test_queue import DOCUMENT, SOURCE, STREAM, finished, state, submit

pytestmark = pytest.mark.interop


@pytest.fixture
def project(make_project: Any) -> Any:
    return make_project(SOURCE, DOCUMENT)


@pytest.fixture
def worker(project: Any, start: Any) -> Any:
    def run(url: str, **env: str) -> Server:
        settings = {"LAYERWRIGHT_QUEUE": url, "LAYERWRIGHT_QUEUE_NAME": STREAM, "LOG_FORMAT": "console"}
        return start(project, **{**settings, **env})

    return run


@pytest.fixture
def launch(tmp_path: pathlib.Path) -> Iterator[Any]:
    """Start a server of redis-server's with these options; gives its process."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    processes: list[subprocess.Popen[bytes]] = []

    def run(name: str, *options: Any) -> subprocess.Popen[bytes]:
        folder = tmp_path / name
        folder.mkdir()
        with open(folder / "log", "wb") as log:
            command = ["redis-server", *map(str, options)]
            processes.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def answering(client: Any) -> Any:
    """The client, once its server answers."""
    import redis

    def probe() -> bool:
        try:
            return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    until(probe)
    return client


@pytest.fixture
def certificates(tmp_path: pathlib.Path) -> dict[str, pathlib.Path]:
    """A private CA, and a certificate of it for 127.0.0.1."""
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "ca_key", "cert", "key", "request")}

    def openssl(*words: Any) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-subj", "/CN=test ca", "-keyout", paths["ca_key"], "-out", paths["ca"])
    openssl("req", *new, "-subj", "/CN=redis", "-keyout", paths["key"], "-out", paths["request"])
    extensions = tmp_path / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n")
    sign = ("-CA", paths["ca"], "-CAkey", paths["ca_key"], "-CAcreateserial", "-extfile", extensions, "-days", "2")
    openssl("x509", "-req", "-in", paths["request"], *sign, "-out", paths["cert"])
    for name in ("ca", "cert", "key"):
        paths[name].chmod(0o644)  # the worker may be another user, as it is inside an image
    return paths


def tls_options(port: int, certificates: dict[str, pathlib.Path]) -> list[Any]:
    files = ["--tls-cert-file", certificates["cert"], "--tls-key-file", certificates["key"]]
    return ["--port", 0, "--tls-port", port, "--bind", "127.0.0.1", "--save", "", *files, "--tls-ca-cert-file", certificates["ca"]]


def test_tls_with_a_private_ca_and_a_user(worker: Any, launch: Any, certificates: Any) -> None:
    import redis

    port = free_port()
    launch("tls", *tls_options(port, certificates), "--tls-auth-clients", "no")
    client = answering(redis.Redis(host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=str(certificates["ca"]), decode_responses=True))
    client.execute_command("ACL", "SETUSER", "jane", "on", ">pa:ss@word", "~*", "+@all", "-@admin")
    url = f"rediss://jane:pa%3Ass%40word@127.0.0.1:{port}/0"
    server = worker(f"{url}?ssl_ca_certs={certificates['ca']}")
    assert finished(client, submit(client, text="a"))["status"] == "succeeded"
    assert "ss@word" not in server.log and "ss%40word" not in server.log
    server.kill()
    # A certificate that no known authority signed is refused, whoever holds the port.
    stranger = worker(url)
    until(lambda: "not reachable" in stranger.log or "CERTIFICATE" in stranger.log.upper())
    id = submit(client, text="b")
    time.sleep(1.0)
    assert not state(client, id)


def test_tls_with_a_client_certificate(worker: Any, launch: Any, certificates: Any) -> None:
    import redis

    port = free_port()
    launch("mtls", *tls_options(port, certificates), "--tls-auth-clients", "yes")
    files = {"ssl_ca_certs": certificates["ca"], "ssl_certfile": certificates["cert"], "ssl_keyfile": certificates["key"]}
    options = {name: str(path) for name, path in files.items()}
    client = answering(redis.Redis(host="127.0.0.1", port=port, ssl=True, decode_responses=True, **options))
    query = "&".join(f"{name}={path}" for name, path in options.items())
    worker(f"rediss://127.0.0.1:{port}/0?{query}")
    assert finished(client, submit(client, text="a"))["status"] == "succeeded"


def test_a_user_with_no_more_rights_than_the_manual_names(worker: Any, redis_server: Any) -> None:
    redis = redis_server.client
    commands = "+@stream +@hash +@scripting +@connection +@transaction +exists +expire +del +set +get"
    redis.execute_command("ACL", "SETUSER", "least", "on", ">secret", f"~{STREAM}", f"~{STREAM}:*", "~answers", *commands.split())
    worker(redis_server.url.replace("redis://", "redis://least:secret@"))
    done = submit(redis, text="a", response_queue="answers")
    assert finished(redis, done)["status"] == "succeeded"
    running = submit(redis, text="b", seconds=300)
    until(lambda: state(redis, running).get("status") == "processing")
    redis.set(f"{STREAM}:p:{running}:cancel", "1")
    assert finished(redis, running)["status"] == "canceled"


def test_sentinels_name_the_server_and_its_successor(worker: Any, launch: Any, tmp_path: pathlib.Path) -> None:
    import redis

    first, second, sentinel = free_port(), free_port(), free_port()
    common = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "no", "--requirepass", "pw", "--masterauth", "pw"]
    primary = launch("first", "--port", first, *common)
    client = answering(redis.Redis(port=first, password="pw", decode_responses=True))
    launch("second", "--port", second, *common, "--replicaof", f"127.0.0.1 {first}")
    replica = answering(redis.Redis(port=second, password="pw", decode_responses=True))
    until(lambda: replica.info("replication")["master_link_status"] == "up")
    path = tmp_path / "sentinel.conf"
    path.write_text(
        f"port {sentinel}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {first} 1\nsentinel auth-pass main pw\n"
        "sentinel down-after-milliseconds main 6000\nsentinel failover-timeout main 6000\n"
    )
    launch("sentinel", path, "--sentinel")
    watcher = answering(redis.Redis(port=sentinel, decode_responses=True))
    until(lambda: watcher.sentinel_slaves("main"))
    worker(f"redis+sentinel://:pw@127.0.0.1:{sentinel}/main/0")
    assert finished(client, submit(client, text="before"))["status"] == "succeeded"
    waiting = [submit(client, text=f"n{number}", seconds=0.5) for number in range(4)]
    assert client.execute_command("WAIT", 1, 60_000) == 1
    primary.kill()
    until(lambda: watcher.sentinel_get_master_addr_by_name("main")[1] == second)
    for id in waiting:
        assert finished(replica, id)["status"] == "succeeded"
    assert finished(replica, submit(replica, text="after"))["status"] == "succeeded"


def test_sentinels_over_tls_with_a_password_of_their_own(worker: Any, launch: Any, certificates: Any, tmp_path: pathlib.Path) -> None:
    import redis

    port, sentinel = free_port(), free_port()
    launch("tls", *tls_options(port, certificates), "--tls-auth-clients", "no", "--requirepass", "pw")
    trusted = {"ssl": True, "ssl_ca_certs": str(certificates["ca"]), "decode_responses": True}
    client = answering(redis.Redis(port=port, password="pw", host="127.0.0.1", **trusted))
    path = tmp_path / "sentinel.conf"
    path.write_text(
        f"port 0\ntls-port {sentinel}\nbind 127.0.0.1\ntls-replication yes\ntls-auth-clients no\nrequirepass watch\n"
        f"tls-cert-file {certificates['cert']}\ntls-key-file {certificates['key']}\ntls-ca-cert-file {certificates['ca']}\n"
        f"sentinel monitor main 127.0.0.1 {port} 1\nsentinel auth-pass main pw\n"
    )
    launch("sentinel", path, "--sentinel")
    answering(redis.Redis(host="127.0.0.1", port=sentinel, password="watch", **trusted))
    url = f"rediss+sentinel://:pw@127.0.0.1:{sentinel}/main/0?sentinel_password=watch&ssl_ca_certs={certificates['ca']}"
    worker(url)
    assert finished(client, submit(client, text="a"))["status"] == "succeeded"
    stranger = worker(url.replace("=watch", "=hunter2"))
    until(lambda: "not reachable" in stranger.log)
    assert "hunter2" not in stranger.log and "watch" not in stranger.log


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_cluster_with_a_hash_tag_in_the_stream_s_name(worker: Any, launch: Any, certificates: Any, is_tls: bool) -> None:
    import redis

    trusted = {"ssl": True, "ssl_ca_certs": str(certificates["ca"])} if is_tls else {}
    ports = [free_port() for _ in range(3)]
    clients = []
    for index, port in enumerate(ports):
        listen = [*tls_options(port, certificates), "--tls-auth-clients", "no", "--tls-cluster", "yes"] if is_tls else ["--port", port]
        launch(f"node{index}", *listen, "--bind", "127.0.0.1", "--save", "", "--cluster-enabled", "yes", "--cluster-port", free_port())
        clients.append(answering(redis.Redis(host="127.0.0.1", port=port, **trusted)))
    slots = [0, 5461, 10923, 16384]
    buses = [int(client.config_get("cluster-port")["cluster-port"]) for client in clients]
    for index, client in enumerate(clients):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", slots[index], slots[index + 1] - 1)
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[index], buses[index])
    until(lambda: all(client.cluster("INFO")["cluster_state"] == "ok" for client in clients))
    cluster = redis.RedisCluster(host="127.0.0.1", port=ports[0], decode_responses=True, **trusted)
    url = f"rediss+cluster://127.0.0.1:{ports[1]}?ssl_ca_certs={certificates['ca']}" if is_tls else f"redis+cluster://127.0.0.1:{ports[1]}"
    worker(url, LAYERWRIGHT_QUEUE_NAME="{jobs},{others}")
    for stream in ("{jobs}", "{others}"):
        id = submit(cluster, stream=stream, text="a")
        until(lambda: state(cluster, id, stream).get("status") == "succeeded")
        assert until(lambda: cluster.xlen(stream) == 0)


def test_a_unix_socket(worker: Any, launch: Any, tmp_path: pathlib.Path) -> None:
    import redis

    path = tmp_path / "s"
    launch("socket", "--port", 0, "--unixsocket", path, "--unixsocketperm", "777", "--save", "")
    client = answering(redis.Redis(unix_socket_path=str(path), decode_responses=True))
    worker(f"unix://{path}")
    assert finished(client, submit(client, text="a"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("url", "message"),
    [("http://user:hunter2@h", "begins with `http:`"), ("redis+sentinel://user:hunter2@h:port/main", "cannot be read")],
)
def test_a_url_that_cannot_be_read_is_said_so(project: Any, start: Any, url: str, message: str) -> None:
    server = start(project, LAYERWRIGHT_QUEUE=url)
    assert server.process.wait(LIMIT) == 2
    assert message in server.log and "hunter2" not in server.log and "Traceback" not in server.log
