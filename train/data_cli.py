"""`st-data`: from clips, wherever users have them, to a dataset that trains at full speed."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="artmirror", prog_name="st-data")
def main() -> None:
    """Collect clips and prepare them for st-train."""
