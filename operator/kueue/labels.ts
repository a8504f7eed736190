/** Label of a Job, a Deployment or a pod, by which Kueue finds its LocalQueue. */
export const QUEUE_LABEL = "kueue.x-k8s.io/queue-name";
