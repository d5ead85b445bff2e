"""`vedette-agent doctor`: what is wrong between this gateway, its brokers and its disk, each with a fix.

A file per check: `look` does the I/O and returns what it saw, `judge` is pure and turns that into findings. Who is
logged in at the brokers looks there: the running agent (`inside`), or, while none runs, the doctor in its place
(`outside`). `examination` puts everything together.
"""
