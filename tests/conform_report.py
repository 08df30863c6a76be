#!/usr/bin/env python3
"""The reports of one run of qdot conform: is the JSON as docs/conform.schema.json says, do --html and
--junit say the same, and is the page whole, with nothing from elsewhere?

usage: conform_report.py SCHEMA JSON HTML JUNIT
"""
import html.parser
import json
import re
import sys
import xml.etree.ElementTree

FAILED = ("fail", "crash", "timeout")
IDLE = ("refused", "not_run")


# ---- a schema, as far as ours goes -----------------------------------------------------------------

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}


def is_type(value, name):
    if name in ("number", "integer"):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return not isinstance(value, bool) and (whole or (name == "number" and isinstance(value, float)))
    return isinstance(value, TYPES[name])


def violations(schema, value, root, where):
    known = {"type", "const", "enum", "pattern", "minimum", "required", "properties", "items", "$ref", "$schema", "title",
             "description", "$defs"}
    assert set(schema) <= known, "this checker does not know %s" % (set(schema) - known)
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "type" in schema and not is_type(value, schema["type"]):
        return ["%s: no %s" % (where, schema["type"])]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append("%s: not %s" % (where, schema["const"]))
    if "enum" in schema and value not in schema["enum"]:
        found.append("%s: none of %s" % (where, schema["enum"]))
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append("%s: '%s' is not like %s" % (where, value, schema["pattern"]))
    if "minimum" in schema and value < schema["minimum"]:
        found.append("%s: less than %s" % (where, schema["minimum"]))
    found += ["%s: no %s" % (where, key) for key in schema.get("required", []) if key not in value]
    for key, inner in schema.get("properties", {}).items():
        if key in value:
            found += violations(inner, value[key], root, where + "." + key)
    if "items" in schema:
        for i, item in enumerate(value):
            found += violations(schema["items"], item, root, "%s[%d]" % (where, i))
    return found


def undocumented(schema, value, root, where):
    """Fields of the report that the schema does not have."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    found = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in schema.get("properties", {}):
                found.append("%s.%s is not in the schema" % (where, key))
            else:
                found += undocumented(schema["properties"][key], inner, root, where + "." + key)
    if isinstance(value, list):
        for i, item in enumerate(value):
            found += undocumented(schema["items"], item, root, "%s[%d]" % (where, i))
    return found


def check_json(schema, report):
    found = violations(schema, report, schema, "report") + undocumented(schema, report, schema, "report")
    results, context = report["results"], report["context"]
    idle = [r for r in results if r["status"] in IDLE]
    failed = [r for r in results if r["status"] in FAILED or (r in idle and r["required"])]
    counts = {"passed": sum(r["status"] == "pass" for r in results), "failed": len(failed),
              "refused": sum(r["status"] == "refused" and not r["required"] for r in results),
              "not_run": sum(r["status"] == "not_run" and not r["required"] for r in results),
              "cases": sum(r["cases"] for r in results if r["status"] in ("pass", "fail"))}
    found += ["context.%s is %s, of the results %s" % (key, context[key], value)
              for key, value in counts.items() if context[key] != value]
    verdict = "fail" if failed else "incomplete" if counts["not_run"] or not counts["passed"] else "pass"
    if context["verdict"] != verdict:
        found.append("the verdict is %s, of the results %s" % (context["verdict"], verdict))
    found += ["a failure without a case: %s" % r for r in results
              if r["status"] == "fail" and not ("case" in r and "replay" in r and ("mismatch" in r or r["reason"]))]
    return found


# ---- the page --------------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    VOID = ("meta", "br", "hr")

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.found, self.text = [], [], []
        self.tags = {}
        self.cells = {}

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag in ("script", "link", "iframe", "object", "img", "base", "form"):
            self.found.append("a <%s>" % tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "style") or name.startswith("on"):
                self.found.append("an attribute %s" % name)
            if tag == "td" and name == "class":
                self.cells[value] = self.cells.get(value, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.found.append("</%s> closes nothing, at %s" % (tag, self.getpos()))

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            if "url(" in data or "@import" in data or "//" in data:
                self.found.append("a style with something from elsewhere")
        else:
            self.text.append(data)


def check_page(report, text):
    page = Page()
    page.feed(text)
    page.close()
    found = page.found + ["<%s> is not closed" % tag for tag in page.open]
    if not text.startswith("<!DOCTYPE html>") or page.tags.get("title") != 1:
        found.append("no page")
    words = " ".join(page.text)
    failed = [r for r in report["results"] if r["status"] in FAILED or r["required"] and r["status"] in IDLE]
    if page.tags.get("article", 0) != len(failed):
        found.append("%d failures, %d articles" % (len(failed), page.tags.get("article", 0)))
    for device in report["devices"]:
        for key in ("description", "driver", "reason"):
            if device.get(key, "") not in words:
                found.append("no '%s'" % device[key])
    for r in report["results"]:
        for value in (r["kernel"], r["reason"], r.get("smallest", {}).get("replay", "")):
            if value not in words:
                found.append("no '%s'" % value)
    groups = {(r["device"], r["kernel"], r["group"]) for r in report["results"] if r["group"] != "all"}
    if sum(page.cells.values()) != len(groups):
        found.append("%d cells, %d groups of rows" % (sum(page.cells.values()), len(groups)))
    return found


def check_junit(report, path):
    suite = xml.etree.ElementTree.parse(path).getroot()
    context = report["context"]
    counts = (len(report["results"]), context["failed"], context["refused"] + context["not_run"])
    said = tuple(int(suite.get(key)) for key in ("tests", "failures", "skipped"))
    inside = (len(suite), len(suite.findall("*/failure")), len(suite.findall("*/skipped")))
    return [] if counts == said == inside else ["junit: %s, %s and %s" % (counts, said, inside)]


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        report = json.load(file)
    with open(sys.argv[3], encoding="utf-8") as file:
        page = file.read()
    found = check_json(schema, report) + check_page(report, page) + check_junit(report, sys.argv[4])
    print("\n".join(found[:20]) or "%d results: schema, page and junit agree" % len(report["results"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
