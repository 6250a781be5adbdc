"""The listed normalisations: what may differ between two servers that behave the same."""

from __future__ import annotations

NORMALISATIONS: dict[str, str] = {
    "uid": "uids are random",
    "time": "points in time, ages and durations since then",
    "resource version": "resourceVersions, and the numbers in messages about them; requests carry the "
    "double's own version wherever the recording carried the real server's",
    "generated name": "names with a random tail, the hash of a pod template, names of token volumes; "
    "lists of objects with such names are compared without their order",
    "address": "cluster IPs, pod IPs, node ports and the node's name and addresses",
    "container runtime": "ids of containers and images carry the runtime's own scheme and digests",
    "order": "conditions are a list keyed by type: compared without their order",
    "continue token": "continue tokens are opaque; requests carry the double's own",
    "masked": "values that the recording masks: tokens, certificates, machine ids, paths",
    "OpenShift": "what the recorded binaries add as OpenShift's fork: the ConfigMap openshift-service-ca.crt "
    "(the replay creates it), its projected source, annotations service.beta.openshift.io",
    "component fields": "managedFields entries of components (controller-manager, scheduler, kubelet): "
    "only those of the client are compared",
    "protobuf answer": "the recorded answer was protobuf, the double's is JSON: compared as decoded objects, "
    "without the empty values that only protobuf shows",
    "OpenAPI documents": "OpenAPI documents are compared by status only; the double has no /openapi/v2, "
    "which kubectl can do without, and carries its own validators",
    "earlier state": "lists of all namespaces show Pods and Deployments from before the recording began: not "
    "compared; namespaces that the recording used without making them are made by the replay; versions from "
    "before it are not asked for",
    "background": "a Pod of an earlier scenario that goes on failing is left out of later watches and tables",
    "repeats": "how often an Event was repeated depends on how long the recorder waited",
    "own image": "one answer is a file of the recorded image: compared by status and headers",
    "machine": "a Pod's own status.resources come from cgroups, which the recording had switched off; a "
    "Node's capacity, images, system and addresses are those of the machine",
    "Go struct": "a 422 that prints internal Go structs or a diff of them is compared without that print",
    "coalesced events": "a watch may merge or split updates of one object between two states: compared are "
    "the types in order without repeats, and the last object; an EndpointSlice's generation counts such "
    "updates and is not compared",
    "passing state": "an object read while controllers or the node still worked on it, or before they did: "
    "its status and what goes with it, and its row in a table, is compared at the end of their work, not at "
    "that moment; what was leaving may be gone; the time of the last change of endpoints may be missing",
    "frames": "how a stream is cut into frames or chunks",
    "etcd 3.4": "the first control plane had etcd 3.4, which refuses streaming lists (ERROR 500) and lets a "
    "watch without version fail (ERROR 504); the double answers as with etcd 3.5",
    "build": "version and build numbers, the user of the recording proxy's certificate",
    "components": "objects and discovery entries of components that the double does not have",
}
