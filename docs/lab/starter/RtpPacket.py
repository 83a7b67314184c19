# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes and reads RTP packets (RFC 3550, section 5.1).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                           timestamp                           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           synchronization source (SSRC) identifier            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

HEADER_SIZE = 12

# The payload type of JPEG.
JPEG = 26


def make_packet(sequence_number, timestamp, ssrc, frame):
    """A packet: 12 bytes of header, then the frame."""
    header = bytearray(HEADER_SIZE)
    # TODO 1 (server): fill in the header. Version is 2; padding, extension, the number of contributing
    # sources and the marker are 0; the payload type is 26. Each number starts with its highest byte.
    return bytes(header) + frame


def read_packet(datagram):
    """The sequence number and the frame of a packet; (0, b"") if it is none."""
    if len(datagram) < HEADER_SIZE:
        return 0, b""
    sequence_number = 0
    # TODO 6 (client): read the sequence number from bytes 2 and 3 of the header.
    return sequence_number, datagram[HEADER_SIZE:]
