"""What all subcommands of `sluice` share, and those that ask a deployed stack's functions.

`frame` has exit codes, errors and the one place that turns an error into a message and a code. `aws_options` has the
options by which a command names a stack, an account and a region. `functions` asks a stack's functions, `answers`
checks what they say, and `output` prints it.
"""
