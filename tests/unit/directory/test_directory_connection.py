"""A connection and its pool against small LDAP servers that misbehave on purpose."""

import asyncio
import contextlib
import ssl
import subprocess
import sys
import time

import pytest
import trustme
from tests.support.ldap_wire import BIND, DONE, EXTENDED, answer, found, read

from keyfast.core.directory import Logon, Unreachable
from keyfast.core.secret import Secret
from keyfast.directory import ldap_message
from keyfast.directory.active_directory import ActiveDirectory
from keyfast.directory.address import Address
from keyfast.directory.connection import Connection
from keyfast.directory.pool import Pool
from keyfast.directory.settings import DirectorySettings, SimpleReader
from keyfast.errors import MissingToolError, NotReadyError, TrustError, UsageError

PASSWORD = Secret(b"right")
AUTHORITY = trustme.CA()


def bind_answer(number, code, text=b""):
    return answer(number, BIND, code, text)


class Server:
    """Takes TLS connections and answers each message with what ``says`` returns; counts connections."""

    def __init__(self, says):
        self.says = says
        self.opened = self.open = self.most = 0

    async def __aenter__(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = Address("127.0.0.1", self.port, tls=True)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, reader, writer):
        self.opened += 1
        self.open += 1
        self.most = max(self.most, self.open)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                number = int(read(data)["messageID"])
                said = self.says(number)
                said = await said if asyncio.iscoroutine(said) else said
                if said is None:
                    break
                writer.write(said)
        self.open -= 1
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def trusting():
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture
def ca(tmp_path):
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path / "ca.pem"


def directory(server, ca, **limits):
    reader = SimpleReader("reader", PASSWORD)
    return ActiveDirectory(
        DirectorySettings("corp", (f"ldaps://127.0.0.1:{server.port}",), reader, ca, **limits), time.time
    )


@pytest.mark.parametrize(
    ("code", "text", "logon"),
    [
        (0, b"", Logon.GRANTED),
        (49, b"data 52e, v1db1", Logon.WRONG_PASSWORD),
        (49, b"data 775, v1db1", Logon.LOCKED),
        (49, b"\xff\xfe", Logon.OTHER),
    ],
)
async def test_an_answer_to_a_bind(ca, code, text, logon):
    async with Server(lambda number: bind_answer(number, code, text)) as server:
        made = directory(server, ca)
        assert await made.verify("x", PASSWORD) is logon
        assert made.domain == "CORP"
        await made.close()


NONSENSE = {
    "closed": lambda _: None,
    "not LDAP": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "out of step": lambda number: bind_answer(number + 1, 0),
    "notice of disconnection": lambda _: answer(0, EXTENDED, 52),
    "busy": lambda number: bind_answer(number, 51),
    "too large": lambda _: b"\x30\x84\x7f\xff\xff\xff",
    "an entry instead": lambda number: found(number, b"")[: -len(answer(number, DONE, 0))] * 2,
    "cut short": lambda number: bind_answer(number, 0)[:-1],
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_an_outage_and_never_a_verdict(ca, what):
    async with Server(NONSENSE[what]) as server:
        made = directory(server, ca, timeout_s=0.5)
        with pytest.raises(NotReadyError) as told:
            await made.verify("x", PASSWORD)
        assert "right" not in str(told.value)
        (outcome,) = await made.read("x")
        assert isinstance(outcome, Unreachable)
        await made.close()


ROOT = {"defaultNamingContext": b"DC=x"}
ACCOUNT = {"sAMAccountName": b"x", "userAccountControl": b"512", "pwdLastSet": b"1"} | {
    "msDS_User_Account_Control_Computed": b"0"
}
READINGS = {
    "it names no domain": ({}, ACCOUNT, {}),
    "may not read pwdLastSet": (ROOT, {k: v for k, v in ACCOUNT.items() if k != "pwdLastSet"}, {}),
    "not of its type": (ROOT, ACCOUNT | {"badPwdCount": b"many"}, {}),
    "an attribute that is not": (ROOT, ACCOUNT, {"tokenGroups": b"short"}),
}


@pytest.mark.parametrize("reason", READINGS)
async def test_what_cannot_be_read_is_an_outage_with_its_reason(ca, reason):
    root, account, computed = READINGS[reason]

    def says(number):
        if number == 1:
            return bind_answer(number, 0)
        steps = {2: (b"", root), 3: (b"CN=x,DC=x", account), 4: (b"CN=x,DC=x", computed)}
        dn, values = steps.get(number, (b"DC=x", {"lockoutThreshold": b"0"}))
        return found(number, dn, **values)

    async with Server(says) as server:
        made = directory(server, ca)
        (outcome,) = await made.read("x")
        assert isinstance(outcome, Unreachable)
        assert reason in outcome.reason
        await made.close()


async def test_a_search_that_is_refused_is_an_outage(ca):
    async with Server(lambda number: bind_answer(number, 0) if number == 1 else answer(number, DONE, 50)) as server:
        made = directory(server, ca)
        (outcome,) = await made.read("x")
        assert "LDAP result 50" in outcome.reason
        await made.close()


def test_without_gssapi_the_extra_is_named():
    script = (
        "import sys; sys.modules['gssapi'] = None\n"
        "from keyfast.directory import kerberos\n"
        "try: kerberos.load()\n"
        "except Exception as cause: print(type(cause).__name__, cause.repair)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingToolError pip install 'keyfast[directory]'")


def test_without_pyasn1_only_an_active_directory_cannot_be_opened():
    script = (
        "import sys, time; sys.modules['pyasn1'] = sys.modules['pyasn1_modules'] = None\n"
        "import keyfast.server.windows\n"
        "from keyfast.directory.active_directory import ActiveDirectory\n"
        "from keyfast.directory.settings import DirectorySettings\n"
        "try: ActiveDirectory(DirectorySettings('corp', ('ldaps://dc1',), None), time.time)\n"
        "except Exception as cause: print(type(cause).__name__, cause.repair)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "MissingToolError pip install 'keyfast[directory]'\n"


def test_a_server_without_an_active_directory_does_not_import_pyasn1():
    script = "import sys, keyfast.server.windows; print('pyasn1' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


async def test_an_answer_in_pieces_and_a_large_one_are_read():
    values = {f"a{place}": b"x" * 900 for place in range(300)}

    def says(number):
        return found(number, b"CN=x", **values)

    async with Server(says) as server:
        connection = await Connection.open(server.address, trusting())
        for _ in range(2):
            (entry,) = await connection.search("", ldap_message.Scope.BASE, ldap_message.Present("objectClass"), ())
            assert entry.values == {name: (value,) for name, value in values.items()}
        connection.close()


async def test_a_kept_connection_that_died_is_replaced_without_a_fault(ca):
    async with Server(lambda number: bind_answer(number, 0) if number == 1 else None) as server:
        made = directory(server, ca)
        assert [await made.verify("x", PASSWORD) for _ in range(3)] == [Logon.GRANTED] * 3
        assert server.opened == 3
        await made.close()


async def test_connections_are_kept(ca):
    async with Server(lambda number: bind_answer(number, 0)) as server:
        made = directory(server, ca)
        for _ in range(20):
            await made.verify("x", PASSWORD)
        assert server.opened == 1
        await made.close()


async def test_no_more_connections_and_no_more_callers_than_allowed(ca):
    gate = asyncio.Event()

    async def later(number):
        await gate.wait()
        return bind_answer(number, 0)

    async with Server(later) as server:
        made = directory(server, ca, connections=2, waiting=3)
        calls = [asyncio.create_task(made.verify("x", PASSWORD)) for _ in range(8)]
        refused, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        gate.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[:5] == [Logon.GRANTED] * 5
        assert all(isinstance(result, NotReadyError) for result in results[5:])
        assert refused
        assert server.most <= 2
        await made.close()


async def test_a_cancelled_call_does_not_leave_its_answer_to_the_next(ca):
    asked, gate = asyncio.Event(), asyncio.Event()

    async def later(number):
        asked.set()
        await gate.wait()
        return bind_answer(number, 49, b"data 52e,")

    async with Server(later) as server:
        made = directory(server, ca, connections=1, timeout_s=5)
        call = asyncio.create_task(made.verify("x", PASSWORD))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.set()
        server.says = lambda number: bind_answer(number, 0)
        assert await made.verify("x", PASSWORD) is Logon.GRANTED
        assert server.opened == 2
        await made.close()


async def test_nothing_is_opened_after_the_end(ca):
    async with Server(lambda number: bind_answer(number, 0)) as server:
        made = directory(server, ca)
        await made.close()
        with pytest.raises(NotReadyError):
            await made.verify("x", PASSWORD)
        assert server.opened == 0


async def test_a_bind_without_a_password_is_never_sent():
    async with Server(lambda number: bind_answer(number, 0)) as server:
        connection = await Connection.open(server.address, trusting())
        with pytest.raises(TrustError, match="anonymous"):
            await connection.bind("x", Secret(b""))
        connection.close()
        connection.close()


async def test_starttls_that_is_refused_or_followed_by_clear_text_is_an_outage():
    for said in (
        answer(1, EXTENDED, 2),
        answer(1, EXTENDED, 0) + b"injected",
        b"\x30\x82\xff\xff\x04\x82\xff\xf0" * 1200,
        None,
    ):

        async def serve(reader, writer, said=said):
            await reader.read(65536)
            writer.write(said or b"")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotReadyError):
            await Connection.open(Address("127.0.0.1", port, tls=False), trusting())
        server.close()
        await server.wait_closed()


async def test_ldaps_without_trust_is_not_opened():
    with pytest.raises(TrustError):
        await Connection.open(Address("127.0.0.1", 1, tls=True), None)


async def test_a_name_without_an_address_and_a_closed_port_are_outages():
    for host in ("dc1.invalid", "127.0.0.1"):
        with pytest.raises(NotReadyError, match="cannot be reached"):
            await Connection.open(Address(host, 1, tls=True), trusting())


async def test_a_pool_passes_on_what_is_not_about_the_connection(ca):
    async with Server(lambda number: bind_answer(number, 0)) as server:
        pool = Pool("dc1", lambda: Connection.open(server.address, trusting()), size=1, waiting=1, timeout_s=5)

        async def tool(_):
            raise MissingToolError("no gssapi")

        with pytest.raises(MissingToolError):
            await pool.run(tool)
        await pool.close()


@pytest.mark.parametrize("servers", [(), ("http://dc1",)])
def test_settings_without_a_usable_address_are_refused(servers):
    with pytest.raises(UsageError):
        ActiveDirectory(DirectorySettings("corp", servers, SimpleReader("r", PASSWORD)), time.time)


def test_a_file_of_certificates_that_is_not_there_is_refused(tmp_path):
    given = DirectorySettings("corp", ("ldaps://dc1",), SimpleReader("r", PASSWORD), tmp_path / "gone.pem")
    with pytest.raises(UsageError, match="is not a file"):
        ActiveDirectory(given, time.time)


def test_secrets_are_not_shown():
    given = DirectorySettings("corp", ("ldaps://dc1",), SimpleReader("r", PASSWORD))
    assert "right" not in repr(given)


def test_an_encoded_search_is_what_the_standard_says():
    wanted = ldap_message.search(2, "", ldap_message.Scope.BASE, ldap_message.Present("objectClass"), (), 0)
    expected = "3025020102632004000a01000a0100020100020100010100870b6f626a656374436c6173733000"
    assert wanted.hex() == expected
