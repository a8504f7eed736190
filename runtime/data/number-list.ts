/** Numbers whose count is not known beforehand. */
export class NumberList {
  #values = new Float32Array(1024);
  #length = 0;

  get bytes(): number {
    return 4 * this.#length;
  }

  push(values: ArrayLike<number>): void {
    const length = this.#length + values.length;
    if (length > this.#values.length) {
      const larger = new Float32Array(Math.max(length, this.#values.length * 2));
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values.set(values, this.#length);
    this.#length = length;
  }

  finish(): Float32Array {
    return this.#values.length === this.#length ? this.#values : this.#values.slice(0, this.#length);
  }
}
