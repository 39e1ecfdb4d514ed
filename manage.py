#!/usr/bin/env python
"""Run Django's commands; a wrong setting ends in one line, not in a traceback."""

import os
import sys


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flexai_site.settings")
    from django.core.management import execute_from_command_line

    from flexai_site.environment import SettingError

    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
