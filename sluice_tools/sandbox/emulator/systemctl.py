"""``systemctl`` for scripts on the sandbox's machines: asks the emulator to act on the machine's units.

Started by the shim that Run Command puts on a script's path: endpoint, instance id, then systemctl's own arguments.
A stop document calls it ten times, so it imports next to nothing: of the 63 ms of a processor that it took with
`urllib` and `json`, 52 were their imports. What goes to and fro needs neither (`run_command` has the other end).
"""

import _socket
import sys

CHUNK_BYTES = 65_536


def main() -> int:
    """Ask, print what systemctl would print, and exit as it would."""
    endpoint, instance_id, *arguments = sys.argv[1:]
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    status, answer = _post(host, int(port), f"/_sandbox/instances/{instance_id}/systemctl", "\0".join(arguments))
    if status != "200":
        sys.stderr.write(f"the sandbox answered {status}: {answer}\n")
        return 1
    exit_code, text, error = answer.split("\0")
    if text:
        sys.stdout.write(text + "\n")
    if error:
        sys.stderr.write(error + "\n")
    return int(exit_code)


def _post(host: str, port: int, path: str, arguments: str) -> tuple[str, str]:
    """The status and the body of the answer; stopping takes as long as it takes."""
    body = f'{{"arguments": "{arguments.encode().hex()}"}}'
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    connection.connect((host, port))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Length: {len(body)}"
    connection.sendall(f"{head}\r\n\r\n{body}".encode())
    received = b""
    while part := connection.recv(CHUNK_BYTES):
        received += part
    connection.close()
    head, _, text = received.decode().partition("\r\n\r\n")
    return head.split(" ", 2)[1], text


if __name__ == "__main__":
    sys.exit(main())
