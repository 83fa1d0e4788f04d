"""Takes webhooks of Holdfast, and believes only those that are signed, recent and new.

    HOOK_SECRET=... python3 receive.py PORT
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["HOOK_SECRET"].encode()
OLDEST = 300  # seconds
seen = set()  # yours should be kept for a day, and survive a restart


def wrong(headers, body):
    """Says why a request is not to be believed; nothing if it is."""
    timestamp = headers.get("Holdfast-Timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > OLDEST:
        return "too old"
    expected = hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    given = headers.get("Holdfast-Signature", "").removeprefix("v1=")
    if not hmac.compare_digest(expected.encode(), given.encode()):
        return "wrong signature"
    return None


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        problem = wrong(self.headers, body)
        if problem:
            self.send_error(403, problem)
            return
        delivery = self.headers["Holdfast-Delivery"]
        # Once more is no error: the answer to the first time may have been lost.
        if delivery not in seen:
            seen.add(delivery)
            print(json.loads(body)["headline"], flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
print("listening on", server.server_port, flush=True)
server.serve_forever()
