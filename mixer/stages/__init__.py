"""The stages of a build; each is a pure function of a task and writes a receipt when it is done."""
