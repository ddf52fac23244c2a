"""``python -m gelu_patch`` is ``gelu-patch``."""

from gelu_patch.cli.app import main

if __name__ == "__main__":
    main()
