# SPDX-License-Identifier: MIT OR Apache-2.0
"""The constants of tkinter that clients use."""

NO = FALSE = OFF = 0
YES = TRUE = ON = 1
N, S, W, E = "n", "s", "w", "e"
NW, SW, NE, SE, NS, EW, NSEW = "nw", "sw", "ne", "se", "ns", "ew", "nsew"
CENTER = "center"
NONE, X, Y, BOTH = "none", "x", "y", "both"
LEFT, TOP, RIGHT, BOTTOM = "left", "top", "right", "bottom"
RAISED, SUNKEN, FLAT, RIDGE, GROOVE, SOLID = "raised", "sunken", "flat", "ridge", "groove", "solid"
HORIZONTAL, VERTICAL = "horizontal", "vertical"
NUMERIC, CHAR, WORD = "numeric", "char", "word"
NORMAL, DISABLED, ACTIVE, HIDDEN = "normal", "disabled", "active", "hidden"
INSERT, END, ANCHOR, ALL, FIRST, LAST = "insert", "end", "anchor", "all", "first", "last"
SEL, SEL_FIRST, SEL_LAST, CURRENT = "sel", "sel.first", "sel.last", "current"
SINGLE, BROWSE, MULTIPLE, EXTENDED = "single", "browse", "multiple", "extended"
INSIDE, OUTSIDE = "inside", "outside"
