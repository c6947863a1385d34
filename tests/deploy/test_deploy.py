"""Validates the files of deploy/, the workflows, and the form of docs/deploy."""

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest
from pathlib import Path

import yaml
from programs import DEPLOY, HERE, ROOT, TOOLS, needs, output

PAGES = ROOT / "docs" / "deploy"
MONITORING = ROOT / "docs" / "monitoring.md"

# The oldest Spin that runs the build for WASI 0.2: that of SpinKube's shim 0.24.
OLDEST_SPIN = "v3.6.3"

# The one image of Spin that every file names.
IMAGE = "ghcr.io/spinframework/spin:v4.1.0"


# From core.spinkube.dev/v1alpha1 of spin-operator 0.6.1.
SPIN_APP_FIELDS = {
    "checks", "components", "deploymentAnnotations", "enableAutoscaling", "executor", "image",
    "imagePullSecrets", "invocationLimits", "podAnnotations", "podLabels", "replicas", "resources",
    "runtimeConfig", "serviceAccountName", "serviceAnnotations", "serviceLabels", "variables",
    "volumeMounts", "volumes",
}  # fmt: skip
SPIN_APP_EXECUTOR_FIELDS = {
    "caCertSecret", "installDefaultCACerts", "otel", "runtimeClassName", "spinImage",
}  # fmt: skip

MANIFESTS = ["spin.toml", "spin.http.toml", "spin.wasi02.toml", "spin.cloud.toml"]


def manifest_variables(manifest):
    text = (ROOT / manifest).read_text()
    section = text.split("[variables]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \{", section, re.MULTILINE))


def required_variables(manifest):
    text = (ROOT / manifest).read_text()
    return set(re.findall(r"(?m)^(\w+) = \{ required = true", text))


def manifest_components(manifest):
    text = (ROOT / manifest).read_text()
    return sorted(re.findall(r"(?m)^\[component\.([\w-]+)\]$", text))


def values_of(option, command):
    return [value for it, value in zip(command, command[1:]) if it == option]


class Scripts(unittest.TestCase):
    SCRIPTS = [
        DEPLOY / "supervisor" / "supervise",
        DEPLOY / "package",
        DEPLOY / "check-targets",
        HERE / "run",
        HERE / "worker",
    ]

    def test_scripts_are_executable_and_parse(self):
        for script in self.SCRIPTS:
            self.assertTrue(os.access(script, os.X_OK), script)
            output("bash", "-n", str(script))

    @needs("shellcheck")
    def test_shellcheck_accepts_the_scripts(self):
        output("shellcheck", *map(str, self.SCRIPTS))


@needs("spin")
class Targets(unittest.TestCase):
    COMPONENTS = ROOT / "target" / "wasm32-wasip2" / "release"

    def test_spin_checks_the_manifest_against_the_target(self):
        if not (self.COMPONENTS / "refresh_http.wasm").exists():
            self.skipTest("not built: cargo xtask build")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as target:
            # This one is a file, which needs no network. It has no HTTP trigger.
            target.write("[triggers.redis]\nworlds = []\n")
            target.flush()
            check = subprocess.run(
                [DEPLOY / "check-targets", f'{{ path = "{target.name}" }}'],
                capture_output=True,
                text=True,
            )
        self.assertEqual(check.returncode, 1)
        self.assertIn("does not support trigger type http", check.stderr)


class Compose(unittest.TestCase):
    FILE = DEPLOY / "compose" / "compose.yaml"

    def test_it_conforms_to_the_schema(self):
        check = str(TOOLS / "check-jsonschema")
        output(check, "--builtin-schema", "vendor.compose-spec", str(self.FILE))

    def test_every_component_runs_in_one_service(self):
        services = yaml.safe_load(self.FILE.read_text())["services"]
        components = []
        for service in services.values():
            components += values_of("--component-id", service["command"])
            self.assertEqual(service["restart"], "always")
        self.assertEqual(sorted(components), manifest_components("spin.toml"))

    def test_the_work_queue_is_durable(self):
        command = yaml.safe_load(self.FILE.read_text())["services"]["queue"]["command"]
        for option, value in [
            ("--appendonly", "yes"),
            ("--maxmemory-policy", "noeviction"),
            ("--notify-keyspace-events", "Kx"),
        ]:
            self.assertEqual(values_of(option, command), [value])


@needs("kubectl")
class Kubernetes(unittest.TestCase):
    def built(self, folder):
        return output("kubectl", "kustomize", str(folder))

    def objects(self, folder):
        return list(yaml.safe_load_all(self.built(folder)))

    def test_the_base_conforms_to_the_schemas(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(self.built(DEPLOY / "kubernetes"))
            file.flush()
            output(str(TOOLS / "kubernetes-validate"), "--strict", "--quiet", file.name)

    def test_names_that_objects_refer_to_exist(self):
        objects = self.objects(DEPLOY / "kubernetes")
        names = {(it["kind"], it["metadata"]["name"]) for it in objects}
        for it in objects:
            if it["kind"] not in ("Deployment", "StatefulSet"):
                continue
            pod = it["spec"]["template"]
            labels = it["spec"]["selector"]["matchLabels"]
            self.assertLessEqual(labels.items(), pod["metadata"]["labels"].items())
            volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
            volumes |= {
                claim["metadata"]["name"] for claim in it["spec"].get("volumeClaimTemplates", [])
            }
            for volume in pod["spec"].get("volumes", []):
                if "configMap" in volume:
                    self.assertIn(("ConfigMap", volume["configMap"]["name"]), names)
            for container in pod["spec"]["containers"]:
                for mount in container["volumeMounts"]:
                    self.assertIn(mount["name"], volumes)
                for source in container.get("envFrom", []):
                    if "configMapRef" in source:
                        self.assertIn(("ConfigMap", source["configMapRef"]["name"]), names)
                    else:
                        self.assertEqual(source["secretRef"]["name"], "afterword")
        for service in ("web", "queue", "store"):
            self.assertIn(("Service", service), names)

    def test_every_component_runs_in_one_deployment(self):
        for folder, manifest in [("kubernetes", "spin.toml"), ("spinkube", "spin.wasi02.toml")]:
            components = []
            for it in self.objects(DEPLOY / folder):
                if it["kind"] == "Deployment":
                    for container in it["spec"]["template"]["spec"]["containers"]:
                        components += values_of("--component-id", container["args"])
                elif it["kind"] == "SpinApp":
                    components += it["spec"]["components"]
            self.assertEqual(sorted(components), manifest_components(manifest), folder)

    def test_an_overlay_as_the_page_has_it_names_the_application(self):
        for page, folder in [("kubernetes.md", "kubernetes"), ("spinkube.md", "spinkube")]:
            text = (PAGES / page).read_text()
            overlay = text.split("kustomization.yaml <<END\n")[1].split("END\n")[0]
            overlay = overlay.replace("$APPLICATION", "registry.example/a:1")
            with tempfile.TemporaryDirectory(dir=ROOT / "target") as parent:
                shutil.copytree(DEPLOY, Path(parent) / "deploy")
                (Path(parent) / "overlay").mkdir()
                (Path(parent) / "overlay" / "kustomization.yaml").write_text(overlay)
                objects = self.objects(Path(parent) / "overlay")
            if folder == "spinkube":
                images = [it["spec"]["image"] for it in objects if it["kind"] == "SpinApp"]
                self.assertEqual(images, ["registry.example/a:1"] * 2)
                continue
            variables = [
                it["data"]
                for it in objects
                if it["kind"] == "ConfigMap" and it["metadata"]["name"].startswith("variables")
            ]
            self.assertEqual([it["APPLICATION"] for it in variables], ["registry.example/a:1"])
            self.assertEqual(variables[0]["SPIN_VARIABLE_REDIS_URL"], "redis://queue:6379")

    def test_the_spin_apps_have_the_fields_of_their_definition(self):
        objects = self.objects(DEPLOY / "spinkube")
        apps = [it for it in objects if it["kind"] == "SpinApp"]
        (executor,) = [it for it in objects if it["kind"] == "SpinAppExecutor"]
        self.assertLessEqual(executor["spec"]["deploymentConfig"].keys(), SPIN_APP_EXECUTOR_FIELDS)
        self.assertEqual(len(apps), 2)
        for app in apps:
            self.assertEqual(app["apiVersion"], "core.spinkube.dev/v1alpha1")
            self.assertLessEqual(app["spec"].keys(), SPIN_APP_FIELDS)
            self.assertEqual(app["spec"]["executor"], executor["metadata"]["name"])
            self.assertGreater(app["spec"]["replicas"], 0)
            variables = {variable["name"] for variable in app["spec"]["variables"]}
            self.assertLessEqual(variables, manifest_variables("spin.wasi02.toml"))
            # Spin resolves the variables of all components, also of those that do not run.
            self.assertLessEqual(required_variables("spin.wasi02.toml"), variables)
        self.assertEqual([it for it in objects if it["kind"] == "Deployment"], [])

    def test_the_pods_of_the_spin_apps_reach_redis(self):
        objects = self.objects(DEPLOY / "spinkube")
        (policy,) = [it for it in objects if it["kind"] == "NetworkPolicy"]
        (rule,) = policy["spec"]["ingress"]
        (admitted,) = rule["from"][0]["podSelector"]["matchExpressions"]
        labels = [it["spec"]["podLabels"] for it in objects if it["kind"] == "SpinApp"]
        self.assertEqual(sorted(it[admitted["key"]] for it in labels), sorted(admitted["values"]))


class Systemd(unittest.TestCase):
    UNITS = sorted((DEPLOY / "systemd").glob("*.service"))

    @needs("systemd-analyze")
    def test_systemd_accepts_the_units(self):
        with tempfile.TemporaryDirectory() as folder:
            units = []
            for unit in self.UNITS:
                # The programs are on the server, not here.
                text = re.sub(
                    r"(?m)^ExecStart=(?:[^\\\n]|\\\n)*", "ExecStart=/bin/true", unit.read_text()
                )
                units.append(Path(folder) / unit.name)
                units[-1].write_text(text)
            verified = subprocess.run(
                ["systemd-analyze", "verify", *map(str, units)],
                capture_output=True,
                text=True,
                env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}:"},
            )
            complaints = [line for line in verified.stderr.splitlines() if "afterword" in line]
            self.assertEqual(complaints, [])

    def test_every_component_runs_in_one_unit(self):
        commands = "\n".join(unit.read_text() for unit in self.UNITS)
        components = re.findall(r"--component-id (\S+)", commands)
        self.assertEqual(sorted(components), manifest_components("spin.toml"))

    def test_both_units_have_the_same_hardening(self):
        def settings(unit):
            lines = unit.read_text().splitlines()
            start = lines.index("NoNewPrivileges=yes")
            return lines[start : lines.index("[Install]")]

        web, worker = self.UNITS
        self.assertEqual(settings(web), settings(worker))


class HealthChecks(unittest.TestCase):
    def test_that_of_compose_tells_whether_the_process_is_ready(self):
        class Web(http.server.BaseHTTPRequestHandler):
            status = 200

            def do_GET(self):
                # As Spin does: it drops a request without `Host`.
                if "host" in self.headers:
                    self.send_response(self.status if self.path == "/readyz" else 404)
                    self.end_headers()

            def log_message(self, *_):
                pass

        server = self.enterContext(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        services = yaml.safe_load(Compose.FILE.read_text())["services"]
        _, *check = services["web"]["healthcheck"]["test"]
        port = f"/127.0.0.1/{server.server_port}"
        check = [it.replace("$$", "$").replace("/127.0.0.1/3000", port) for it in check]
        for status, code in [(200, 0), (503, 1)]:
            Web.status = status
            self.assertEqual(subprocess.run(check).returncode, code, status)

    def test_they_ask_for_routes_of_the_manifest(self):
        routes = re.findall(r'(?m)^route = "(.*)"$', (ROOT / "spin.toml").read_text())
        for file in [
            DEPLOY / "compose" / "compose.yaml",
            DEPLOY / "kubernetes" / "web.yaml",
            DEPLOY / "spinkube" / "spin-apps.yaml",
        ]:
            paths = re.findall(r"(?:GET |httpGet:.*\s+path: )(/\S*)", file.read_text())
            self.assertIn("/readyz", paths, file)
            self.assertLessEqual(set(paths), set(routes), file)


class Package(unittest.TestCase):
    def test_it_has_every_file_that_a_host_needs(self):
        texts = [(ROOT / manifest).read_text() for manifest in MANIFESTS]
        sources = {it for text in texts for it in re.findall(r'(?m)^source = "(.*)"$', text)}
        if not all((ROOT / source).exists() for source in sources):
            self.skipTest("not built: cargo xtask build, and cargo xtask build --wasi 0.2")
        (version,) = {re.search(r'(?m)^version = "(.*)"$', text)[1] for text in texts}
        output(str(DEPLOY / "package"), version)
        folder = ROOT / "target" / "package"
        with tarfile.open(folder / f"afterword-{version}.tar.gz") as archive:
            packed = {name.partition("/")[2] for name in archive.getnames()}
        tracked = output("git", "ls-files", "deploy", "docs", "supabase", cwd=ROOT)
        self.assertEqual(packed & sources, sources)
        self.assertLessEqual({*MANIFESTS, *tracked.splitlines()}, packed)
        sums = (folder / "SHA256SUMS").read_text()
        for source in sources:
            name = Path(source).stem + ("-wasi02" if "wasi02" in source else "")
            self.assertIn(f" ./{name}.wasm\n", sums)


class Workflows(unittest.TestCase):
    FOLDER = ROOT / ".github" / "workflows"

    def test_a_release_publishes_every_manifest(self):
        release = (self.FOLDER / "release.yml").read_text()
        pushed = re.findall(r"(?m)^ +push (\S+\.toml) ", release)
        self.assertEqual(sorted(pushed), sorted(MANIFESTS))
        attested = re.findall(r"subject-digest: \$\{\{ steps\.push\.outputs\.([\w-]+) ", release)
        self.assertEqual(len(set(attested)), len(MANIFESTS))

    def test_ci_runs_each_build_under_its_spin(self):
        jobs = yaml.safe_load((self.FOLDER / "ci.yml").read_text())["jobs"]
        for job in ("embedded", "spin"):
            self.assertEqual(jobs[job]["strategy"]["matrix"]["wasi"], ["0.3", "0.2"])
        include = jobs["spin"]["strategy"]["matrix"]["include"]
        self.assertEqual({it["wasi"]: it["spin"] for it in include}["0.2"], OLDEST_SPIN)
        release = yaml.safe_load((self.FOLDER / "release.yml").read_text())
        self.assertEqual(release["env"]["OLDEST_SPIN"], OLDEST_SPIN)

    def test_they_conform_to_the_schema(self):
        files = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yml")))
        check = str(TOOLS / "check-jsonschema")
        output(check, "--builtin-schema", "vendor.github-workflows", *files)


class Variables(unittest.TestCase):
    def test_every_variable_that_is_set_is_in_the_manifest(self):
        known = set().union(*map(manifest_variables, MANIFESTS))
        for file in [*DEPLOY.rglob("*"), *PAGES.glob("*.md")]:
            if file.is_file():
                text = file.read_text()
                names = re.findall(r"SPIN_VARIABLE_([A-Z_]+)", text)
                names += re.findall(r"--variable (?!name=)(\w+)=", text)
                for name in names:
                    self.assertIn(name.lower(), known, file)

    def test_every_page_sets_what_is_required(self):
        for manifest, page in [
            ("spin.toml", PAGES / "kubernetes.md"),
            ("spin.toml", DEPLOY / "systemd" / "afterword.env.example"),
            ("spin.toml", DEPLOY / "compose" / "afterword.env.example"),
            ("spin.http.toml", PAGES / "akamai-functions.md"),
            ("spin.cloud.toml", PAGES / "fermyon-cloud.md"),
            ("spin.wasi02.toml", PAGES / "spinkube.md"),
        ]:
            for name in required_variables(manifest):
                self.assertRegex(page.read_text().lower(), rf"(spin_variable_|variable ){name}=")

    def test_images_are_of_one_version_of_spin(self):
        for file in [*DEPLOY.rglob("*.yaml"), *PAGES.glob("*.md")]:
            for image in re.findall(r"ghcr\.io/spinframework/spin:[\w.-]+", file.read_text()):
                self.assertEqual(image, IMAGE, file)


class Pages(unittest.TestCase):
    ORDER = [
        "What you get",
        "What you need",
        "Commands",
        "How to see that it works",
        "Update",
        "Roll back",
        "Remove",
    ]
    FILES = sorted(set(PAGES.glob("*.md")) - {PAGES / "README.md"})

    def test_each_page_has_the_same_order(self):
        for page in self.FILES:
            headings = re.findall(r"(?m)^## (.*)", page.read_text())
            self.assertEqual(headings[: len(self.ORDER)], self.ORDER, page.name)

    def test_the_shell_accepts_each_command(self):
        for page in [*self.FILES, MONITORING]:
            for commands in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
                output("bash", "-n", "-c", commands)

    def test_links_lead_somewhere(self):
        for page in [*PAGES.glob("*.md"), MONITORING]:
            for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
                if not link.startswith("http"):
                    path, _, anchor = link.partition("#")
                    target = (page.parent / path).resolve() if path else page
                    self.assertTrue(target.exists(), f"{page.name}: {link}")
                    if anchor:
                        titles = re.findall(r"(?m)^#+ (.*)", target.read_text())
                        words = [re.sub(r"[^\w -]", "", title).lower() for title in titles]
                        anchors = [it.replace(" ", "-") for it in words]
                        self.assertIn(anchor, anchors, f"{page.name}: {link}")

    def test_files_that_a_page_names_exist(self):
        for page in [*self.FILES, MONITORING]:
            text = page.read_text().replace("\n", " ")
            # The other test follows the links.
            text = re.sub(r"\]\([^)]+\)", "", text)
            named = re.findall(
                r"(?<![\w/.-])(?:/opt/afterword/)?((?:deploy|supabase)/[\w./-]+\w)(?=[\s`)])", text
            )
            for path in named:
                # The user makes it from the example beside it.
                if path.endswith("/afterword.env"):
                    path += ".example"
                self.assertTrue((ROOT / path).exists(), f"{page.name}: {path}")


# Not on macOS, which has no `timeout`.
@needs("redis-server", "redis-cli", "timeout")
class Supervisor(unittest.TestCase):
    # Seconds. The supervisor's own limits are far below.
    PATIENCE = 60

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.redis = None
        self.supervisor = None
        self.start_redis()

    def tearDown(self):
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.terminate()
            self.supervisor.wait(timeout=self.PATIENCE)
        self.stop_redis()

    def start_redis(self, *options):
        command = ["redis-server", "--port", self.port, "--save", "", "--dir", str(self.folder)]
        self.redis = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        self.eventually(lambda: self.cli("ping") == "PONG", "Redis responds")

    def stop_redis(self):
        if self.redis is not None:
            self.redis.kill()
            self.redis.wait()
            self.redis = None

    def cli(self, *command):
        run = subprocess.run(
            ["redis-cli", "-p", self.port, *command], capture_output=True, text=True
        )
        return run.stdout.strip()

    def start(self, path=None, credentials=""):
        environment = {
            **os.environ,
            "PORT": self.port,
            "SPIN_VARIABLE_REDIS_URL": f"redis://{credentials}127.0.0.1:{self.port}",
            "SUPERVISE_INTERVAL": "1",
            "SUPERVISE_LIMIT": "2",
        }
        worker = ["env", f"PATH={os.environ['PATH']}", str(HERE / "worker"), str(self.folder)]
        with (self.folder / "log").open("w") as log:
            self.supervisor = subprocess.Popen(
                [DEPLOY / "supervisor" / "supervise", *worker],
                env={**environment, "PATH": path or os.environ["PATH"]},
                stderr=log,
            )

    def eventually(self, condition, what):
        deadline = time.monotonic() + self.PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"never: {what}")
            time.sleep(0.1)

    def lines(self, name):
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def wakes_and_restarts(self):
        self.eventually(lambda: len(self.lines("heard")) >= 3, "wake-ups, again and again")
        self.assertEqual(len(self.lines("starts")), 1, "a worker that responds is left alone")
        (self.folder / "deaf").touch()
        self.eventually(lambda: len(self.lines("starts")) >= 2, "a deaf worker is restarted")
        self.assertIn("no sign of life", (self.folder / "log").read_text())
        (self.folder / "deaf").unlink()
        heard = len(self.lines("heard"))
        self.eventually(lambda: len(self.lines("heard")) > heard, "the new worker hears")

    def test_it_wakes_a_worker_and_restarts_a_deaf_one(self):
        self.start()
        self.wakes_and_restarts()

    def without_clients(self):
        """A PATH without redis-cli and valkey-cli."""
        programs = self.folder / "bin"
        programs.mkdir()
        for program in ("bash", "env", "sleep", "timeout"):
            (programs / program).symlink_to(shutil.which(program))
        return str(programs)

    def test_it_speaks_to_redis_itself_where_no_client_is_installed(self):
        self.start(self.without_clients())
        self.wakes_and_restarts()

    def test_a_password_is_decoded(self):
        for path in (None, self.without_clients()):
            self.cli("acl", "setuser", "afterword", "on", ">p@ss wörd", "~*", "&*", "+@all")
            self.start(path, "afterword:p%40ss%20w%C3%B6rd@")
            self.eventually(lambda: self.cli("get", "{afterword}:supervisor") == "1", "a login")
            self.supervisor.terminate()
            self.supervisor.wait(timeout=self.PATIENCE)
            self.cli("del", "{afterword}:supervisor")

    def test_a_worker_that_ends_is_started_again(self):
        self.start()
        self.eventually(lambda: self.lines("heard"), "the first worker hears")
        os.kill(int(self.lines("starts")[0]), signal.SIGKILL)
        self.eventually(lambda: len(self.lines("starts")) == 2, "a second worker")

    def test_a_worker_comes_back_after_redis(self):
        self.start()
        self.eventually(lambda: self.lines("heard"), "the worker hears")
        self.stop_redis()
        self.eventually(lambda: len(self.lines("starts")) > 2, "starts without Redis")
        self.start_redis()
        heard = len(self.lines("heard"))
        self.eventually(lambda: len(self.lines("heard")) > heard + 2, "wake-ups")

    def test_a_deaf_worker_is_left_alone_while_redis_takes_no_writes(self):
        self.start()
        self.eventually(lambda: self.lines("heard"), "the worker hears")
        self.cli("config", "set", "min-replicas-to-write", "1")
        heard = len(self.lines("heard"))
        # Several rounds, each longer than the limit would be.
        self.eventually(lambda: len(self.lines("heard")) >= heard + 5, "wake-ups go on")
        self.assertEqual(len(self.lines("starts")), 1)

    def test_the_worker_ends_with_its_supervisor(self):
        self.start()
        self.eventually(lambda: self.lines("heard"), "the worker hears")
        worker = int(self.lines("starts")[0])
        self.supervisor.terminate()
        self.assertEqual(self.supervisor.wait(timeout=self.PATIENCE), 0)
        with self.assertRaises(ProcessLookupError):
            os.kill(worker, 0)

    def test_a_wrong_address_is_refused_without_its_password(self):
        for url in ("http://x", "redis://user:secret@", "redis://u:secret@h:6379/1"):
            run = subprocess.run(
                [DEPLOY / "supervisor" / "supervise", "true"],
                capture_output=True,
                text=True,
                env={**os.environ, "SPIN_VARIABLE_REDIS_URL": url},
            )
            self.assertEqual(run.returncode, 64, url)
            self.assertNotIn("secret", run.stderr)


if __name__ == "__main__":
    unittest.main()
