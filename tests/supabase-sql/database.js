// A PostgreSQL of its own for the tests, in a temporary folder, without a port.

import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs Debian's programs where they are unpacked and not installed; `cargo xtask` sets it. */
const UNPACKED = process.env.AFTERWORD_TEST_POSTGRESQL;

/** The folder of `initdb`, or null: on the PATH, or where Debian has it. */
function folder() {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  versions.sort((a, b) => Number(b) - Number(a));
  const folders = [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env.PATH ?? "").split(":"),
  ];
  return folders.find((folder) => existsSync(join(folder, "initdb"))) ?? null;
}

/** A command that runs one of PostgreSQL's programs. */
function command(program, args) {
  return UNPACKED ? [UNPACKED, [program, ...args]] : [join(folder(), program), args];
}

/** Why the tests cannot run, or null. */
export function reasonToSkip() {
  if (!UNPACKED && folder() === null) {
    return "PostgreSQL is not installed (Debian: postgresql)";
  }
  const [program, args] = command("initdb", ["--version"]);
  const { error, status, stderr } = spawnSync(program, args, { ...user(), encoding: "utf8" });
  return status === 0 ? null : `PostgreSQL does not run here: ${error ?? stderr}`;
}

/** Whom PostgreSQL runs as, since it refuses to run as root: `postgres`, or else `nobody`. */
function user() {
  if (process.getuid() !== 0) {
    return {};
  }
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = ["-u", "-g"].map((option) =>
      spawnSync("id", [option, name], { encoding: "utf8" }),
    );
    if (uid.status === 0) {
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    }
  }
  return {};
}

export class Database {
  #folder = mkdtempSync(join(tmpdir(), "afterword-sql-"));
  #options = { cwd: this.#folder, stdio: ["ignore", "ignore", "inherit"] };

  constructor() {
    const { uid, gid } = user();
    if (uid !== undefined) {
      chownSync(this.#folder, uid, gid);
      Object.assign(this.#options, { uid, gid });
    }
    this.#run("initdb", [
      "--pgdata=data",
      "--username=supabase_admin",
      "--auth=trust",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync",
    ]);
    const sockets = `-c listen_addresses='' -c unix_socket_directories=${this.#folder}`;
    const settings = `${sockets} -c fsync=off`;
    this.#run("pg_ctl", ["start", "--pgdata=data", "--log=log", "--wait", "-o", settings]);
    this.run("supabase_admin", "create database supabase", "postgres");
  }

  #run(program, args) {
    execFileSync(...command(program, args), this.#options);
  }

  /** Runs SQL as `role`; returns its output and its messages. Throws on the first error. */
  run(role, sql, database = "supabase") {
    const args = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
    args.push(`--host=${this.#folder}`, `--username=${role}`, `--dbname=${database}`);
    const psql = spawnSync(...command("psql", args), {
      input: sql,
      encoding: "utf8",
      maxBuffer: 64 << 20,
    });
    if (psql.status !== 0) {
      throw new Error(psql.stderr || String(psql.error));
    }
    return { output: psql.stdout.trim(), messages: psql.stderr };
  }

  stop() {
    this.#run("pg_ctl", ["stop", "--pgdata=data", "--mode=immediate"]);
    rmSync(this.#folder, { recursive: true });
  }
}
