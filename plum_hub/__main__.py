"""`python -m plum_hub` is `plum-hub`."""

from plum_hub.cli import main

main()
