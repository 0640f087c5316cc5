// Command netverdict says of traffic whether the NetworkPolicies among documents let it through. The judgement is cyclonus's own, which
// knows nothing of how the documents are made; in here is only what reads the question and writes the answer, as JSON.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

type question struct {
	Documents []json.RawMessage // of any kind: what is no Namespace, Pod or NetworkPolicy plays no part
	Traffic   []traffic
}

type traffic struct {
	Source, Destination string // namespace/pod of a document, or an address outside of the cluster
	Port                int
	Protocol            core.Protocol
}

type verdict struct {
	Egress  bool `json:"egress"`
	Ingress bool `json:"ingress"`
}

type cluster struct {
	namespaces map[string]map[string]string
	pods       map[string]core.Pod
	policies   []*networking.NetworkPolicy
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		refuse(err)
	}
	known, err := read(asked.Documents)
	if err != nil {
		refuse(err)
	}
	policy := matcher.BuildNetworkPolicies(false, known.policies)
	verdicts := make([]verdict, 0, len(asked.Traffic))
	for _, one := range asked.Traffic {
		source, err := known.peer(one.Source)
		if err != nil {
			refuse(err)
		}
		destination, err := known.peer(one.Destination)
		if err != nil {
			refuse(err)
		}
		found := policy.IsTrafficAllowed(&matcher.Traffic{
			Source: source, Destination: destination, ResolvedPort: one.Port, Protocol: one.Protocol,
		})
		verdicts = append(verdicts, verdict{found.Egress.IsAllowed(), found.Ingress.IsAllowed()})
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		refuse(err)
	}
}

func read(documents []json.RawMessage) (*cluster, error) {
	known := &cluster{namespaces: map[string]map[string]string{}, pods: map[string]core.Pod{}}
	for _, document := range documents {
		var kind meta.TypeMeta
		if err := json.Unmarshal(document, &kind); err != nil {
			return nil, err
		}
		switch kind.Kind {
		case "Namespace":
			var namespace core.Namespace
			if err := yaml.UnmarshalStrict(document, &namespace); err != nil {
				return nil, err
			}
			known.namespaces[namespace.Name] = namespace.Labels
		case "Pod":
			var pod core.Pod
			if err := yaml.UnmarshalStrict(document, &pod); err != nil {
				return nil, err
			}
			known.pods[pod.Namespace+"/"+pod.Name] = pod
		case "NetworkPolicy":
			policy, err := readPolicy(document)
			if err != nil {
				return nil, err
			}
			known.policies = append(known.policies, policy)
		}
	}
	return known, nil
}

func readPolicy(document []byte) (*networking.NetworkPolicy, error) {
	var policy networking.NetworkPolicy
	if err := yaml.UnmarshalStrict(document, &policy); err != nil {
		return nil, err
	}
	// The API server would fill these in; here nobody does.
	if policy.Namespace == "" || len(policy.Spec.PolicyTypes) == 0 {
		return nil, fmt.Errorf("NetworkPolicy %s says no namespace or no policyTypes", policy.Name)
	}
	// Where the label is not there, Kubernetes holds NotIn for true and cyclonus for false.
	if bytes.Contains(document, []byte(`"NotIn"`)) {
		return nil, fmt.Errorf("NetworkPolicy %s selects by NotIn, which cyclonus reads otherwise than Kubernetes", policy.Name)
	}
	return &policy, nil
}

func (known *cluster) peer(name string) (*matcher.TrafficPeer, error) {
	if net.ParseIP(name) != nil {
		return &matcher.TrafficPeer{IP: name}, nil
	}
	pod, isKnown := known.pods[name]
	labels, hasNamespace := known.namespaces[pod.Namespace]
	if !isKnown || !hasNamespace || net.ParseIP(pod.Status.PodIP) == nil {
		return nil, fmt.Errorf("%s is no address, and no pod with an address in a namespace that is known", name)
	}
	return &matcher.TrafficPeer{
		IP:       pod.Status.PodIP,
		Internal: &matcher.InternalPeer{PodLabels: pod.Labels, NamespaceLabels: labels, Namespace: pod.Namespace},
	}, nil
}

func refuse(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
