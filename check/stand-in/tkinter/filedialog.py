# SPDX-License-Identifier: MIT OR Apache-2.0
"""File dialogs, which a user has left without a choice."""


def askopenfilename(**_):
    return ""


asksaveasfilename = askdirectory = askopenfilename
