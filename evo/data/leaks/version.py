"""Of what is found: results under another version are not taken for this one's."""

VERSION = 3
