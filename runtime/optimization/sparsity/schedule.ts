/** How sparse weights are at each step of fine-tuning (Zhu and Gupta 2017; the formulas of TensorFlow Model Optimization). */

export interface SparsitySchedule {
  initialSparsity: number;
  finalSparsity: number;
  /** Step of the first update, and of the last. */
  begin: number;
  end: number;
  /** Steps between two updates. */
  frequency: number;
  /** 3: many weights go at first, when they are easily missed, and few at the end. */
  power: number;
}

/** Share of zeros at `step`. */
export function sparsityAt(schedule: SparsitySchedule, step: number): number {
  const { initialSparsity, finalSparsity, begin, end, power } = schedule;
  const done = end === begin ? 1 : Math.min(1, Math.max(0, (step - begin) / (end - begin)));
  return finalSparsity + (initialSparsity - finalSparsity) * (1 - done) ** power;
}

/** Are the masks made anew before this step? The last step always counts, so that the final sparsity is reached. */
export function updatesAt({ begin, end, frequency }: SparsitySchedule, step: number): boolean {
  return step === end || (step >= begin && step <= end && (step - begin) % frequency === 0);
}
