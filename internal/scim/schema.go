package scim

import (
	"slices"
	"strings"
)

// The names of schemas and messages, RFC 7643 section 4 and RFC 7644 section 8.2.
const (
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	configURN     = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	typeURN       = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	schemaURN     = "urn:ietf:params:scim:schemas:core:2.0:Schema"

	listURN   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	patchURN  = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	bulkURN   = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkedURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	errorURN  = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// Kind is a type of resource.
type Kind string

// The kinds there are.
const (
	User  Kind = "User"
	Group Kind = "Group"
)

func (k Kind) endpoint() string { return "/" + string(k) + "s" }
func (k Kind) urn() string      { return map[Kind]string{User: userURN, Group: groupURN}[k] }

// kindAt is the kind that an endpoint has, such as "Users".
func kindAt(endpoint string) (Kind, bool) {
	for _, k := range []Kind{User, Group} {
		if "/"+endpoint == k.endpoint() {
			return k, true
		}
	}
	return "", false
}

// valueType is the type of an attribute, RFC 7643 section 2.3.
type valueType uint8

const (
	text valueType = iota
	boolean
	reference
	dateTime
	binary
	complexType
)

var typeNames = [...]string{text: "string", boolean: "boolean", reference: "reference", dateTime: "dateTime", binary: "binary", complexType: "complex"}

// attribute describes one, RFC 7643 section 7. The zero flags are the common case:
// one value, optional, compared without case, to be written and read by all.
type attribute struct {
	name      string
	typ       valueType
	multi     bool
	required  bool
	caseExact bool
	readOnly  bool // the client's value is passed over in a whole resource, refused in a PATCH
	writeOnly bool // taken, never kept
	always    bool // returned whatever is asked
	unique    bool
	what      string
	sub       []attribute
}

// known finds a sub-attribute by its name, in any case.
func known(attrs []attribute, name string) (attribute, bool) {
	for _, a := range attrs {
		if strings.EqualFold(a.name, name) {
			return a, true
		}
	}
	return attribute{}, false
}

// plural is a multi-valued attribute with the sub-attributes of RFC 7643 section 2.4.
func plural(name, what string, value valueType) attribute {
	return attribute{name: name, typ: complexType, multi: true, what: what, sub: []attribute{
		{name: "value", typ: value, what: "The value"}, {name: "display", what: "What people read"}, {name: "type", what: "What it is for, such as work"},
		{name: "primary", typ: boolean, what: "The preferred one"},
	}}
}

// common are of every resource, RFC 7643 section 3.1.
var common = []attribute{
	{name: "id", caseExact: true, readOnly: true, always: true, unique: true, what: "The id that Stint gave"},
	{name: "externalId", caseExact: true, what: "The client's id; Stint knows a person by it"},
	{name: "meta", typ: complexType, readOnly: true, what: "About the resource", sub: []attribute{
		{name: "resourceType", caseExact: true, readOnly: true}, {name: "created", typ: dateTime, readOnly: true}, {name: "lastModified", typ: dateTime, readOnly: true},
		{name: "location", typ: reference, readOnly: true}, {name: "version", caseExact: true, readOnly: true},
	}},
	{name: "schemas", typ: reference, multi: true, caseExact: true, always: true, what: "The schemas of the resource"},
}

var userAttributes = []attribute{
	{name: "userName", required: true, unique: true, what: "Who signs in; the part before @ becomes the name in Stint"},
	{name: "name", typ: complexType, what: "The parts of the name", sub: []attribute{
		{name: "formatted"}, {name: "familyName"}, {name: "givenName"}, {name: "middleName"}, {name: "honorificPrefix"}, {name: "honorificSuffix"},
	}},
	{name: "displayName", what: "The name that people read"},
	{name: "nickName"},
	{name: "profileUrl", typ: reference},
	{name: "title"},
	{name: "userType"},
	{name: "preferredLanguage"},
	{name: "locale"},
	{name: "timezone"},
	{name: "active", typ: boolean, what: "False ends all that the user holds, and every login"},
	{name: "password", writeOnly: true, what: "Taken and thrown away: nobody signs in to Stint with a password"},
	plural("emails", "Mail addresses; nobody is known by one", text),
	plural("phoneNumbers", "Telephone numbers", text),
	plural("ims", "Instant messaging", text),
	plural("photos", "Photos", reference),
	{name: "addresses", typ: complexType, multi: true, sub: []attribute{
		{name: "formatted"}, {name: "streetAddress"}, {name: "locality"}, {name: "region"}, {name: "postalCode"}, {name: "country"}, {name: "type"}, {name: "primary", typ: boolean},
	}},
	{name: "groups", typ: complexType, multi: true, readOnly: true, what: "The groups that the user is in", sub: []attribute{
		{name: "value", caseExact: true, readOnly: true}, {name: "$ref", typ: reference, readOnly: true}, {name: "display", readOnly: true}, {name: "type", readOnly: true},
	}},
	plural("entitlements", "Kept as text; gives nothing in Stint", text),
	plural("roles", "Kept as text; gives nothing in Stint", text),
	plural("x509Certificates", "Kept as text; gives nothing in Stint", binary),
}

var enterpriseAttributes = []attribute{
	{name: "employeeNumber"}, {name: "costCenter"}, {name: "organization"}, {name: "division"}, {name: "department"},
	{name: "manager", typ: complexType, what: "Whom policies call manager", sub: []attribute{
		{name: "value", caseExact: true, what: "The id of a user"}, {name: "$ref", typ: reference}, {name: "displayName", readOnly: true},
	}},
}

var groupAttributes = []attribute{
	{name: "displayName", required: true, unique: true, what: "Becomes the group's name in Stint"},
	{name: "members", typ: complexType, multi: true, what: "The users in the group", sub: []attribute{
		{name: "value", caseExact: true, what: "The id of a user"}, {name: "$ref", typ: reference}, {name: "type"}, {name: "display", readOnly: true},
	}},
}

// attributesOf are all attributes of a kind, an extension as a complex one by its URN.
var attributesOf = map[Kind][]attribute{
	User:  slices.Concat(common, userAttributes, []attribute{{name: enterpriseURN, typ: complexType, sub: enterpriseAttributes}}),
	Group: slices.Concat(common, groupAttributes),
}

// shown is the description of attributes as /Schemas gives it, RFC 7643 section 7.
func shown(attrs []attribute) []any {
	out := []any{}
	for _, a := range attrs {
		o := Object{
			"name": a.name, "type": typeNames[a.typ], "multiValued": a.multi, "description": a.what, "required": a.required,
			"caseExact": a.caseExact, "mutability": "readWrite", "returned": "default", "uniqueness": "none",
		}
		switch {
		case a.readOnly:
			o["mutability"] = "readOnly"
		case a.writeOnly:
			o["mutability"], o["returned"] = "writeOnly", "never"
		}
		if a.always {
			o["returned"] = "always"
		}
		if a.unique {
			o["uniqueness"] = "server"
		}
		if a.typ == reference {
			o["referenceTypes"] = []any{"external"}
		}
		if len(a.sub) > 0 {
			o["subAttributes"] = shown(a.sub)
		}
		out = append(out, o)
	}
	return out
}

// describedSchemas are what /Schemas lists.
func describedSchemas() []Object {
	one := func(id, name, what string, attrs []attribute) Object {
		return Object{"schemas": []any{schemaURN}, "id": id, "name": name, "description": what, "attributes": shown(attrs),
			"meta": Object{"resourceType": "Schema", "location": "/Schemas/" + id}}
	}
	return []Object{
		one(userURN, "User", "A person who may ask for access", userAttributes),
		one(groupURN, "Group", "A group that policies may name", groupAttributes),
		one(enterpriseURN, "EnterpriseUser", "What an enterprise says of a person", enterpriseAttributes),
	}
}

// describedTypes are what /ResourceTypes lists.
func describedTypes() []Object {
	one := func(k Kind, more ...any) Object {
		o := Object{"schemas": []any{typeURN}, "id": string(k), "name": string(k), "endpoint": k.endpoint(), "description": string(k), "schema": k.urn(),
			"meta": Object{"resourceType": "ResourceType", "location": "/ResourceTypes/" + string(k)}}
		if len(more) > 0 {
			o["schemaExtensions"] = more
		}
		return o
	}
	return []Object{one(User, Object{"schema": enterpriseURN, "required": false}), one(Group)}
}

// describedService is what /ServiceProviderConfig says, RFC 7643 section 5.
func describedService() Object {
	yes, no := Object{"supported": true}, Object{"supported": false}
	return Object{
		"schemas": []any{configURN}, "patch": yes, "changePassword": no, "sort": no, "etag": yes,
		"bulk":   Object{"supported": true, "maxOperations": maxOperations, "maxPayloadSize": MaxBody},
		"filter": Object{"supported": true, "maxResults": maxResults},
		"authenticationSchemes": []any{Object{"type": "oauthbearertoken", "name": "Bearer token", "primary": true,
			"description": "The token that stint admin integration token shows once"}},
		"meta": Object{"resourceType": "ServiceProviderConfig", "location": "/ServiceProviderConfig"},
	}
}
