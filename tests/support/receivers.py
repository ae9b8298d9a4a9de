"""Receivers of notifications: a web server and a mail server on free ports of loopback."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default


@dataclass
class Hook:
    """A web server that keeps what is posted to it, and answers with ``status``."""

    port: int = 0
    status: int = 200
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in head[1:] if line)}
        self.posts.append((headers, await reader.readexactly(int(headers["content-length"]))))
        self.heard.set()
        writer.write(f"HTTP/1.1 {self.status} X\r\ncontent-length: 0\r\nlocation: /x\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@dataclass
class Mailbox:
    """A mail server (RFC 5321) with STARTTLS and AUTH PLAIN that keeps what it is given."""

    tls: ssl.SSLContext | None = None
    password: str = ""
    port: int = 0
    refuse: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    encrypted: bool = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mailbox\r\n")
        while line := (await reader.readline()).decode().rstrip():
            verb = line[:8].upper()
            self.said.append(verb.split()[0])
            if verb.startswith("STARTTLS"):
                writer.write(b"220 go on\r\n")
                assert self.tls is not None
                await writer.start_tls(self.tls)
                self.encrypted = True
                continue
            writer.write(await self._reply(verb, line, reader, writer))
            if verb.startswith("QUIT"):
                break
        writer.close()

    async def _reply(self, verb: str, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if verb.startswith("EHLO"):
            offers = b"250-STARTTLS\r\n" if self.tls else b""
            return b"250-mailbox\r\n" + offers + b"250 AUTH PLAIN\r\n"
        if verb.startswith("AUTH"):
            right = base64.b64decode(line.split()[2]).split(b"\0")[2].decode() == self.password
            return b"235 welcome\r\n" if right else b"535 no\r\n"
        if verb.startswith("QUIT"):
            return b"221 bye\r\n"
        if verb.startswith("RCPT"):
            self.to.append(line.partition("<")[2].partition(">")[0])
            return b"550 no such mailbox\r\n" if self.refuse else b"250 ok\r\n"
        if verb.startswith("DATA"):
            writer.write(b"354 go on\r\n")
            text = await reader.readuntil(b"\r\n.\r\n")
            mail = message_from_bytes(text[:-5].replace(b"\r\n..", b"\r\n."), policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append(mail)
        return b"250 ok\r\n"


@asynccontextmanager
async def serving(receiver: Hook | Mailbox, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Serve until the block ends; ``tls``: from the first byte."""
    listener = await asyncio.start_server(receiver.answer, "127.0.0.1", 0, ssl=tls)
    receiver.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield
