/** How the pods of a run with several workers find each other. */
import { PORTS } from "./names.ts";

/** The Job controller sets it in each pod of an indexed Job: the worker's number, from 0. */
export const WORKER_INDEX_ENV = "JOB_COMPLETION_INDEX";

/** The Job controller sets it on each pod of an indexed Job. */
export const WORKER_INDEX_LABEL = "batch.kubernetes.io/job-completion-index";

/** Where each worker listens: the pods of an indexed Job are named by their number, below the run's headless Service. */
export function workerAddresses(run: string, workers: number): { host: string; port: number }[] {
  return Array.from({ length: workers }, (_, index) => ({ host: `${run}-${index}.${run}`, port: PORTS.workers }));
}
