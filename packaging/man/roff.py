"""Plain text as man(7) source."""

import re


def escaped(text):
    """One run of text; `code` becomes bold."""
    text = text.replace("\\", "\\[rs]").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)


def line(text):
    """One input line, which is never taken for a request."""
    text = escaped(text)
    return "\\&" + text if text.startswith((".", "'")) else text


def bold(text):
    return f"\\fB{escaped(text)}\\fR"


def italic(text):
    return f"\\fI{escaped(text)}\\fR"


def tagged(tag, text):
    """A paragraph with a tag, which is roff already."""
    return f".TP\n{tag}\n{line(text)}\n"


def example(text):
    """Lines as they are."""
    rows = [row[2:] if row.startswith("  ") else row for row in text.rstrip("\n").split("\n")]
    return ".PP\n.EX\n" + "".join(line(row) + "\n" for row in rows) + ".EE\n"


def prose(text):
    """Lines of words, or of 'tag  words', each of which may go on in the next."""
    pages, paragraph = [], []

    def flush():
        if paragraph:
            pages.append(".PP\n" + line(" ".join(paragraph)) + "\n")
            paragraph.clear()

    for row in text.splitlines():
        entry = re.fullmatch(r" *(\S(?:.*?\S)?) {2,}(\S.*)", row)
        if entry:
            flush()
            pages.append(tagged(bold(entry[1]), entry[2]))
        elif row.strip():
            paragraph.append(row.strip())
        else:
            flush()
    flush()
    return "".join(pages)


def title(name, section, date, version, manual):
    return f'.TH {name.upper()} {section} "{date}" "Berth {version}" "{manual}"\n'
