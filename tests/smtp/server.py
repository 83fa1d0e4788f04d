"""A mail server for tests: it says its port, and then a line of JSON for each mail that it takes.

    python3 server.py DIRECTORY [starttls|tls]

With TLS it makes an authority of its own in DIRECTORY (`ca.pem`) and wants a login, holdfast with the password "correct horse".
It refuses nobody@.. for good, and busy@.. for the moment.
"""

import asyncio
import email
import email.policy
import hashlib
import json
import pathlib
import ssl
import subprocess
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user"
        if address.startswith("busy@"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        attached = list(mail.iter_attachments()) if mail.get_content_type() == "multipart/mixed" else []
        parts = {part.get_content_type(): part.get_content() for part in mail.iter_parts() if part not in attached}
        attachments = [
            {
                "name": part.get_filename(),
                "type": part.get_content_type(),
                "sha256": hashlib.sha256(part.get_payload(decode=True)).hexdigest(),
            }
            for part in attached
        ]
        taken = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "parts": parts,
            "attachments": attachments,
        }
        print(json.dumps(taken), flush=True)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"holdfast", b"correct horse")
    return AuthResult(success=good, handled=good)


def certificates(directory):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "names", "-out", "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return context


async def main():
    directory, protection = pathlib.Path(sys.argv[1]), (sys.argv[2:] or ["none"])[0]
    context = None if protection == "none" else certificates(directory)
    login = {} if context is None else {"authenticator": authenticate, "auth_required": True}
    starttls = {"tls_context": context, "require_starttls": True} if protection == "starttls" else {}
    if protection == "tls":
        login["auth_require_tls"] = False  # it is there already, below this layer
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), **login, **starttls),
        "localhost",
        0,
        ssl=context if protection == "tls" else None,
    )
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
