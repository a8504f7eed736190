/** What is written here, kept in an object store, too: another pod goes on from there. */

/** The right to write beside an artefact and to make it visible; of several processes the one that began last has it. */
export interface Hold {
  /** Throws Failure Superseded when another process has taken over. */
  check(): Promise<void>;
  /** There is nothing more to write. */
  release(): Promise<void>;
  /** Absent where this machine's folder is the place itself. */
  readonly mirror?: Mirror | undefined;
}

/** Paths are local ones, beside the artefact's folder or in it. */
export interface Mirror {
  /** Brings what is in the store below `folder`. */
  bring(folder: string): Promise<void>;
  /** Keeps a file, or a folder as it is now. Throws Failure Superseded. */
  keep(path: string): Promise<void>;
  /** Forgets a file or folder. */
  drop(path: string): Promise<void>;
  /** Makes the complete artefact in `dir` visible. Throws Failure Superseded. */
  publish(dir: string): Promise<void>;
}
