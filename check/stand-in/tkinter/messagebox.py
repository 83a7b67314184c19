# SPDX-License-Identifier: MIT OR Apache-2.0
"""Message boxes, which are reported, and answered OK or Yes."""

import time

from mjpeg_lab_check_link import link

# A person takes a while to answer.
ANSWER_TIME = 0.3

OK, CANCEL, YES, NO, RETRY = "ok", "cancel", "yes", "no", "retry"
ERROR, INFO, QUESTION, WARNING = "error", "info", "question", "warning"


def _show(title, message, answer):
    link.report("message", text="%s: %s" % (title, message))
    time.sleep(ANSWER_TIME)
    return answer


def showinfo(title=None, message=None, **_):
    return _show(title, message, OK)


showwarning = showerror = showinfo


def askquestion(title=None, message=None, **_):
    return _show(title, message, YES)


def askokcancel(title=None, message=None, **_):
    return _show(title, message, True)


askyesno = askyesnocancel = askretrycancel = askokcancel
