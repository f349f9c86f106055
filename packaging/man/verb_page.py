"""berth-VERB(1), from what the verb says it takes."""

import re

import roff

HEADINGS = {"Exit codes": "EXIT STATUS"}  # others: in capitals
PARAGRAPH = ".PP\n"  # said by the heading already
ORDER = ["EXIT STATUS", "EXAMPLES"]  # at the end, after what is the verb's own


def synopsis(name, usage):
    """Literal words bold, placeholders italic."""
    words = []
    for word in re.findall(r"[\[\]|…]|[^\s\[\]|…]+|\s+", usage):
        if re.fullmatch(r"[A-Z]+", word):
            words.append(roff.italic(word))
        elif word == "options":
            words.append(roff.italic("options"))
        elif re.fullmatch(r"[a-z-][a-z-]*", word):
            words.append(roff.bold(word))
        else:
            words.append(roff.escaped(word))
    return f".B berth {name}\n{''.join(words)}\n"


def tag(entry):
    """'-n, --number N' with the names bold and the placeholder italic."""
    if entry["kind"] in ("argument", "command"):
        return roff.italic(entry["names"])
    names = ", ".join(roff.bold(name) for name in entry["names"].split(","))
    return names + (" " + roff.italic(entry["value"]) if entry["value"] else "")


def options(groups):
    text = ".SH OPTIONS\n"
    for group in groups:
        if len(groups) > 1:
            text += f'.SS "{roff.escaped(group["heading"])}"\n'
        text += "".join(roff.tagged(tag(entry), entry["help"]) for entry in group["entries"])
    return text


def section(heading, text):
    body = roff.example(text) if heading == "EXAMPLES" else roff.prose(text)
    return f'.SH "{roff.escaped(heading)}"\n{body.removeprefix(PARAGRAPH)}'


def sections(verb):
    """The rest, those that every page has last."""
    named = {HEADINGS.get(each["heading"], each["heading"].upper()): each["text"] for each in verb["sections"]}
    missing = [heading for heading in ORDER if heading not in named]
    if missing:
        raise SystemExit(f"`berth {verb['name']} --help` has no section for {', '.join(missing)}")
    order = [heading for heading in named if heading not in ORDER] + ORDER
    return "".join(section(heading, named[heading]) for heading in order)


def see_also(verb, names):
    """The verbs that the page speaks of, then the pages of the programs."""
    told = str(verb["groups"]) + str(verb["sections"]) + verb["summary"]
    related = sorted({name for name in re.findall(r"berth ([a-z]+)", told) if name in names and name != verb["name"]})
    pages = [("berth", 1), *((f"berth-{name}", 1) for name in related), ("berthd", 8)]
    return ".SH SEE ALSO\n" + ",\n".join(f".BR {roff.escaped(name)} ({number})" for name, number in pages).replace(
        ",\n", " ,\n") + "\n"


def page(verb, names, date, version):
    name = verb["name"]
    return (roff.title(f"berth-{name}", 1, date, version, "Berth Manual")
            + f".SH NAME\nberth\\-{roff.escaped(name)} \\- {roff.escaped(verb['brief'])}\n"
            + f".SH SYNOPSIS\n{synopsis(name, verb['usage'])}"
            + f".SH DESCRIPTION\n{roff.line(verb['summary'])}\n"
            + options(verb["groups"]) + sections(verb) + see_also(verb, names))
