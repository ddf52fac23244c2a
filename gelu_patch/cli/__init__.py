"""The command line. One file per verb; nothing heavy is imported before a verb needs it."""
