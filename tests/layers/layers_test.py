#!/usr/bin/env python3
"""Proves that layers.py can fail: small trees with one violation each, and one without."""

import pathlib
import tempfile
import unittest
import unittest.mock

import layers
from layers import Checker

ROOT = pathlib.Path(__file__).resolve().parents[2]

OS = {"runtime/os/CMakeLists.txt": "berth_library(runtime_os SOURCES a.cpp LINK runtime_base)",
      "runtime/base/CMakeLists.txt": "berth_library(runtime_base SOURCES a.cpp)"}


def violations(files):
    with tempfile.TemporaryDirectory() as directory:
        for name, text in files.items():
            path = pathlib.Path(directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Checker(directory).run()


class LayersTest(unittest.TestCase):
    def assert_one(self, files, expected):
        found = violations(files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def assert_code(self, code, expected):
        self.assert_one({"agent/jobs/a.cpp": "void f() {\n" + code + "\n}\n"}, expected)

    def assert_fine(self, code):
        self.assertEqual(violations({"agent/jobs/a.cpp": "void f() {\n" + code + "\n}\n"}), [])

    def test_allowed_includes_pass(self):
        self.assertEqual(violations({**OS, "runtime/os/a.cpp": '#include "runtime/base/error.hpp"\n',
                                     "agent/jobs/a.cpp": '#include "runtime/environment/environment.hpp"\n'}), [])

    def test_nothing_to_check(self):
        self.assert_one({}, "no sources")

    def test_upward_include(self):
        self.assert_one({"runtime/base/a.hpp": '#include "runtime/os/fd.hpp"\n'}, "must not include")

    def test_sideways_include(self):
        self.assert_one({"runtime/http/a.hpp": '#include "runtime/db/database.hpp"\n'}, "must not include")

    def test_runtime_knows_nothing_of_agent(self):
        self.assert_one({"runtime/environment/a.hpp": '#include "agent/model/job.hpp"\n'}, "must not include")

    def test_pure_folders(self):
        self.assert_one({"agent/queue/a.hpp": '#include "runtime/os/fd.hpp"\n'}, "must not include")

    def test_command_line_and_server(self):
        self.assertEqual(violations({"agent/cli/a.cpp": '#include "agent/wire/job.hpp"\n'}), [])
        self.assert_one({"agent/cli/a.cpp": '#include "agent/api/routes.hpp"\n'}, "must not include")
        self.assert_one({"agent/cli/a.cpp": '#include "agent/jobs/runner.hpp"\n'}, "must not include")

    def test_a_change_of_a_job_that_nobody_is_told_of(self):
        for sql in ("UPDATE job SET state = ?", "INSERT OR IGNORE INTO job (id)", "DELETE FROM job WHERE id = ?"):
            self.assert_one({"agent/store/a.cpp": f'void f() {{ db.run("{sql}"); }}\n'}, "changes.hpp alone")
            self.assertEqual(violations({"agent/store/changes.cpp": f'void f() {{ db.run("{sql}"); }}\n'}), [])
        self.assert_fine('db.run("DELETE FROM job_of_another WHERE id = ?");')

    def test_unknown_folder(self):
        self.assert_one({"runtime/utils/a.cpp": "\n"}, "not in the layers")

    def test_include_without_link(self):
        self.assert_one({"runtime/os/CMakeLists.txt": "berth_library(runtime_os SOURCES a.cpp)",
                         "runtime/os/a.cpp": '#include "runtime/base/error.hpp"\n'}, "does not link")

    def test_link_against_the_arrows(self):
        self.assert_one({"runtime/base/CMakeLists.txt": "berth_library(runtime_base SOURCES a.cpp PRIVATE runtime_os)"},
                        "must not link runtime_os")

    def test_libraries_at_home(self):
        self.assert_one({"agent/api/a.cpp": "#include <boost/beast/http.hpp>\n"}, "only runtime/http")
        self.assert_one({"runtime/snapshot/a.cpp": "#include <git2.h>\n"}, "only runtime/git")
        self.assertEqual(violations({"runtime/db/a.cpp": "#include <sqlite3.h>\n"}), [])
        self.assertEqual(len(violations({"runtime/db/a.cpp": "#include <sqlite3.h>\n",
                                         "runtime/db/b.cpp": "#include <sqlite3.h>\n"})), 2)

    def test_asio(self):
        self.assert_one({"runtime/async/a.hpp": "#include <boost/asio.hpp>\n"}, "all of Asio")
        self.assert_one({"runtime/shim/a.cpp": "#include <boost/asio/buffer.hpp>\n"}, "without Asio")
        self.assert_code("co_spawn(x, f(), asio::detached);", "detached")
        self.assert_fine("// asio::detached is banned")

    def test_json_is_read_in_one_place(self):
        for code in ("auto a = nlohmann::json::parse(text);", "auto a = Json::parse(text, nullptr, false);",
                     "auto a = nlohmann::ordered_json::parse (text);", "if (json::accept(text)) g();",
                     "json::sax_parse(text, &sax);", "auto a = nlohmann::basic_json<std::map>::parse(text);",
                     "auto a = json::from_cbor(text);", "using J = nlohmann::json; J a = J::parse(text);",
                     "json a; in >> a;", "nlohmann::json value = 1; std::cin >> value;", 'auto a = "[]"_json;'):
            with self.subTest(code):
                self.assert_code(code, "which bounds it")
        for code in ("auto a = read_json(text);", "auto a = Manifest::parse(text);", "int a = 1; in >> a;",
                     "json a = 1; x = b >> 3;", "// json::parse(text)", "auto r = Recipe::parse(json, size);"):
            with self.subTest(code):
                self.assert_fine(code)
        self.assertEqual(violations({"runtime/base/json.cpp": "auto a = Json::parse(text);\n",
                                     "tests/agent/a_test.cpp": "auto a = json::parse(text);\n"}), [])

    def test_braced_temporaries(self):
        for code in ("co_await run({.name = x});", "co_await run(Spec{.name = x});", "co_await a.run(1, {2});",
                     "co_await a->run(\n    x, model::Spec{});", "auto r = co_await f(g(Spec{1}));",
                     "co_await f(x).then({1});"):
            with self.subTest(code):
                self.assert_code(code, "aggregate temporary")

    def test_choices_of_values(self):
        for code in ("co_await f(x ? g() : h);", "co_await f(1, x ? h : std::move(g));", "co_await f(x ? a : b{});",
                     "co_await (x ? f(1) : f(2));", "auto r = co_await f(g(x ? std::string(\"a\") : s));"):
            with self.subTest(code):
                self.assert_code(code, "?: that makes a value")
        for code in ("co_await f(x ? a : b.c);", "co_await f(x ? kOne : Two::three, g());",
                     "co_await f([&] { return x ? g() : h(); });",
                     "co_await f(g(x ? 1 : 2), h());", "const auto y = x ? g() : h(); co_await f(y);",
                     "co_await f(x); y = x ? g() : h();",
                     "return x ? g() : h();"):
            with self.subTest(code):
                self.assert_fine(code)

    def test_defaults_of_coroutines(self):
        plain = "struct Use { std::map<int, int> of; bool is() const { return Use(1); } };\n"
        for code in ("Task<> f(int a, Use use = {});", "async::Task<std::vector<int>> Site::f(const Use& use = Use{});",
                     "Task<Error> f(Use use = {.of = x}) { co_return g(); }",
                     "const auto f = [](model::Use use = {}) -> Task<> { co_return; };"):
            with self.subTest(code):
                self.assert_one({"agent/jobs/a.hpp": plain, "agent/jobs/b.cpp": code}, "as the default of a coroutine's argument")
        for code in ("Task<> f(Use use = Use());", "Task<> f(Use use);", "void f(Use use = {});",
                     "Task<> f(std::stop_source stop = {});",
                     "Task<> f(int a = {}, std::map<int, Use> b = {});", "Task<> f(Use use) { g([](Use other = {}) {}); }"):
            with self.subTest(code):
                self.assertEqual(violations({"agent/jobs/a.hpp": plain, "agent/jobs/b.cpp": code}), [])
        for kind in ("struct Use { Use(); };", "class Use { };", "struct Use { private: int a; };",
                     "struct Use { virtual void f(); };",
                     plain + "struct Other { struct Use { explicit Use(int); }; };", "enum class Use { one };"):
            with self.subTest(kind):
                self.assertEqual(violations({"agent/jobs/a.hpp": kind + "\nTask<> f(Use use = {});"}), [])

    def test_every_rule_is_about_something(self):
        self.assertEqual(list(layers.ghosts(ROOT)), [])

    def test_rules_about_nothing(self):
        for rule, value, expected in (("AGENT_ROWS", [["attic"]], "agent/attic, where no sources are"),
                                      ("PURE", {"agent/attic": set()}, "agent/attic, where"),
                                      ("CLI", {"runtime/attic"}, "runtime/attic, where"),
                                      ("WITHOUT_ASIO", {"runtime/attic"}, "runtime/attic, where"),
                                      ("JSON_READER", "runtime/base/attic.cpp", "attic.cpp, which is not there"),
                                      ("JOB_WRITERS", {"agent/store/attic.cpp"}, "attic.cpp, which is not there"),
                                      ("LIBRARIES", {"attic.h": (None, 1)}, "<attic.h>, which nobody includes"),
                                      ("LIBRARIES", {"git2": ("runtime/attic", 1)}, "runtime/attic, where")):
            with self.subTest(rule), unittest.mock.patch.object(layers, rule, value):
                found = list(layers.ghosts(ROOT))
                self.assertEqual(len(found), 1, found)
                self.assertIn(expected, found[0])

    def test_waiting_in_conditions(self):
        for code in ("if (co_await f()) return;", "while (x && !co_await f(x)) g();", "switch (co_await f(g(x))) {}",
                     "if (const bool x = co_await f(); x) g();"):
            with self.subTest(code):
                self.assert_code(code, "within a condition")
        for code in ("if (x) co_await f();", "while (!done) co_await changed.wait();",
                     "if (has([&] { co_await f(); })) g();"):
            with self.subTest(code):
                self.assert_fine(code)

    def test_harmless_braces(self):
        for code in ("co_await offload(pool, [&] { return Spec{1}; });", "co_await f(std::move(spec));",
                     "co_await f([](int x) -> Spec { return {x}; });", "co_await f([x]() mutable { g({x}); });",
                     "for (auto& x : co_await f()) { g({x}); }",
                     "co_await f(); g({1});", "Server server(co_await executor, Limits{});", "// co_await f({1})", 'log("co_await f({1})");',
                     "co_await f([&]() -> Task<std::vector<int>> { co_return x; });"):
            with self.subTest(code):
                self.assert_fine(code)


if __name__ == "__main__":
    unittest.main()
