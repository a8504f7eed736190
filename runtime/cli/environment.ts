/** What the commands take from their surroundings; read once, in main. */
export interface Environment {
  /** Folder under which claims are found, if `--volumes` does not say another. */
  volumes: string;
  /** Engine threads; undefined: the processors that this process may use. */
  threads: number | undefined;
  /** Shows text to the user. */
  out: (line: string) => void;
  err: (line: string) => void;
  /** Is stdout a terminal? */
  terminal: boolean;
  /** Writes without a line end, for a bar that is redrawn. */
  draw: (text: string) => void;
}
