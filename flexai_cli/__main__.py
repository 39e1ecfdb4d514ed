"""`python -m flexai_cli` is the `flexai` command."""

from flexai_cli.entry import main

main()
