/** A remote place as the files that are there. */
import type { RemoteFile } from "./download.ts";

export interface Entry extends RemoteFile {
  /** Relative to the place; empty when the place is a file itself. */
  path: string;
  /** Changes when the file does; for caches. */
  version: string;
}
