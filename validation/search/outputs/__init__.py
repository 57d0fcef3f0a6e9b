"""The files of a search: tables, the law, the proposed recipe, and a page for people."""
