// A PostgreSQL of its own for the tests, in a temporary folder, without a port.

import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The folder of `initdb`, or null: on the PATH, or where Debian has it. */
export function programs() {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  versions.sort((a, b) => Number(b) - Number(a));
  const folders = [
    ...versions.map((version) => join(debian, version, "bin")),
    ...(process.env.PATH ?? "").split(":"),
  ];
  return folders.find((folder) => existsSync(join(folder, "initdb"))) ?? null;
}

/** Whether the tests can run: PostgreSQL refuses to run as root, and then needs another user. */
export function reasonToSkip() {
  if (programs() === null) {
    return "PostgreSQL is not installed (Debian: postgresql)";
  }
  if (process.getuid() === 0 && user() === null) {
    return "PostgreSQL does not run as root, and there is no user `postgres`";
  }
  return null;
}

function user() {
  const id = (option) => spawnSync("id", [option, "postgres"], { encoding: "utf8" });
  const [uid, gid] = [id("-u"), id("-g")];
  return uid.status === 0 ? { uid: Number(uid.stdout), gid: Number(gid.stdout) } : null;
}

export class Database {
  #folder = mkdtempSync(join(tmpdir(), "afterword-sql-"));
  #options = { cwd: this.#folder, stdio: ["ignore", "ignore", "inherit"] };

  constructor() {
    if (process.getuid() === 0) {
      const { uid, gid } = user();
      chownSync(this.#folder, uid, gid);
      Object.assign(this.#options, { uid, gid });
    }
    this.#run("initdb", [
      "--pgdata=data",
      "--username=supabase_admin",
      "--auth=trust",
      "--encoding=UTF8",
      "--no-sync",
    ]);
    const sockets = `-c listen_addresses='' -c unix_socket_directories=${this.#folder}`;
    const settings = `${sockets} -c fsync=off`;
    this.#run("pg_ctl", ["start", "--pgdata=data", "--log=log", "--wait", "-o", settings]);
    this.run("supabase_admin", "create database supabase", "postgres");
  }

  #run(program, args) {
    execFileSync(join(programs(), program), args, this.#options);
  }

  /** Runs SQL as `role`; returns its output and its messages. Throws on the first error. */
  run(role, sql, database = "supabase") {
    const args = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
    args.push(`--host=${this.#folder}`, `--username=${role}`, `--dbname=${database}`);
    const psql = spawnSync(join(programs(), "psql"), args, {
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
