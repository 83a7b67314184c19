# SPDX-License-Identifier: MIT OR Apache-2.0
"""Accepts TLS connections and relays them to a port of this machine.

tls_proxy.py CERTIFICATE_AND_KEY PORT prints its own port.
"""
import socket
import ssl
import sys
import threading


def relay(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client, context, port):
    try:
        client = context.wrap_socket(client, server_side=True)
    except (ssl.SSLError, OSError):
        client.close()
        return
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=relay, args=(server, client), daemon=True).start()
    relay(client, server)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client = listener.accept()[0]
    arguments = (client, context, int(sys.argv[2]))
    threading.Thread(target=serve, args=arguments, daemon=True).start()
